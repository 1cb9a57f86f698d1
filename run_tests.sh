#!/usr/bin/env bash
# Sets up what is missing, checks the code as ./lint.sh does, then runs the tests. Arguments go to pytest.
# Without any, two processes share out the files, the slow ones first, since most tests wait for other processes.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
. local/bootstrap.sh

./lint.sh
(($#)) || set -- -n 2 --dist loadfile --no-loadscope-reorder
exec "$VENV/bin/python" -m pytest "$@"
