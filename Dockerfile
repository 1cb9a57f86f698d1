# A target a service: docker build --target api|processor|uploader .
# Only the processor's image has torch and CUDA's libraries (some 7 GB); none has a compiler or apt packages.

FROM python:3.12-slim-bookworm AS builder
WORKDIR /build
COPY requirements-uv.txt ./
RUN pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: -r requirements-uv.txt \
    && python -m venv --without-pip /venv
# Compiled here: the images are read-only where they run.
# --no-deps, because what a requirements file leaves out is left out on purpose (diffq, whose licence forbids commercial use).
ENV UV_COMPILE_BYTECODE=1 \
    UV_NO_CACHE=1 \
    VIRTUAL_ENV=/venv

FROM builder AS api-packages
COPY requirements-api.txt ./
RUN uv pip install --no-deps --require-hashes --only-binary :all: -r requirements-api.txt

FROM builder AS processor-packages
COPY requirements-processor.txt ./
RUN uv pip install --no-deps --require-hashes --only-binary :all: -r requirements-processor.txt

FROM builder AS uploader-packages
COPY requirements-uploader.txt ./
RUN uv pip install --no-deps --require-hashes --only-binary :all: -r requirements-uploader.txt

FROM python:3.12-slim-bookworm AS runtime
# The directories are there for their owner, which a new volume takes over.
RUN groupadd --gid 10001 uvr \
    && useradd --uid 10001 --gid uvr --create-home --shell /usr/sbin/nologin uvr \
    && install --directory --owner uvr --group uvr /app/logs /models /temp /outputs /view /home/uvr/.aws
# Caches of libraries (numba's, CUDA's) go where a read-only container can write.
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

FROM runtime AS api
COPY --from=api-packages /venv /venv
COPY common common
COPY deploy deploy
COPY api api
RUN python -m compileall -q .
USER 10001:10001
ENV API_HOST=0.0.0.0 \
    VIEW_FILE=/view/view.sqlite3
EXPOSE 8000
CMD ["python", "-m", "api"]

FROM runtime AS uploader
COPY --from=uploader-packages /venv /venv
COPY common common
COPY deploy deploy
COPY uploader uploader
RUN python -m compileall -q .
USER 10001:10001
ENV HEALTH_HOST=0.0.0.0
CMD ["python", "-m", "uploader"]

FROM runtime AS processor
COPY --from=processor-packages /venv /venv
COPY common common
COPY deploy deploy
COPY processor processor
RUN python -m compileall -q .
USER 10001:10001
ENV HEALTH_HOST=0.0.0.0
CMD ["python", "-m", "processor"]
