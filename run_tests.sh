#!/usr/bin/env bash
# Sets up what is missing, then checks the style and runs the tests. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
. local/bootstrap.sh

bootstrap requirements.txt requirements-local.txt requirements-test.txt
"$VENV/bin/python" -m ruff check .
"$VENV/bin/python" -m ruff format --check .
exec "$VENV/bin/python" -m pytest "$@"
