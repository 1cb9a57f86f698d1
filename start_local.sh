#!/usr/bin/env bash
# The whole of UVR API on this machine: no Docker, no root, no Java, no compiler.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
. local/bootstrap.sh

usage() {
  cat <<'EOF'
usage: ./start_local.sh [COMMAND]

  up (default)    set up what is missing, start everything in the background, wait until it is ready
  demo            up, then a real song through the whole system
  status          what runs, and whether it is ready
  logs [SERVICE] [-f]
                  the last lines of the logs (kafka, store, api, processor, uploader); -f follows them
  stop            end everything; what was stored stays

Settings come from the environment and from .env (see .env.example).
EOF
}

case ${1:-up} in
  up | demo) bootstrap requirements.txt requirements-local.txt ;;
  stop | status | logs) venv_works || fail "nothing is set up here yet: run ./start_local.sh" ;;
  -h | --help | help)
    usage
    exit
    ;;
  *)
    usage >&2
    exit 2
    ;;
esac
exec "$VENV/bin/python" -m local "${@:-up}"
