#!/usr/bin/env bash
# Sets up what is missing, then checks the style, the order of the imports and the types.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
. local/bootstrap.sh

bootstrap_for_tests
"$VENV/bin/python" -m ruff check .
"$VENV/bin/python" -m ruff format --check .
PYTHONPATH=client "$VENV/bin/lint-imports" --no-logo
"$VENV/bin/python" -m mypy
