#!/usr/bin/env bash
# Sets up what is missing, checks the style, the imports and the types, then runs the tests. Arguments go to pytest.
# Without any, two processes share out the files, the slow ones first, since most tests wait for other processes.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
. local/bootstrap.sh

bootstrap requirements.txt requirements-local.txt requirements-client.txt requirements-test.txt
"$VENV/bin/python" -m ruff check .
"$VENV/bin/python" -m ruff format --check .
PYTHONPATH=client "$VENV/bin/lint-imports" --no-logo
"$VENV/bin/python" -m mypy
(($#)) || set -- -n 2 --dist loadfile --no-loadscope-reorder
exec "$VENV/bin/python" -m pytest "$@"
