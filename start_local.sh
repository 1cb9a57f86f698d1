#!/usr/bin/env bash
# Runs the whole of UVR API on this machine, without Docker, root, Java or a compiler.
set -euo pipefail
export UVR_CALLER_DIRECTORY=$PWD
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
. local/bootstrap.sh
. local/runnable.sh
. local/uninstall.sh

usage() {
  cat <<'USAGE'
usage: ./start_local.sh [COMMAND]

  up (default)    install what is missing, start everything in the background, wait until it is ready
  demo            up, then separate a song with the whole system and save its stems as files
  status          show each program and whether it is ready
  logs [SERVICE…] [-f]
                  print the last lines of the logs (kafka, store, api, processor, uploader); -f follows them
  exec COMMAND…   run a command with the stack's environment, such as: exec uvr list
  stop            stop everything; tasks and stems are kept
  uninstall [--yes]
                  list everything that the set-up has put on this machine, ask, and remove it

Settings come from the environment and from .env (see .env.example). PROCESSORS=2 starts two processors.
USAGE
}

# Everything but the page at / works without it.
build_console() {
  if [[ ${CONSOLE:-yes} != no ]] && ! console/build.sh; then
    say "the console could not be built, see above; everything else works. CONSOLE=no skips it"
  fi
}

case ${1:-up} in
  up | demo)
    bootstrap "${PRODUCT[@]}"
    build_console
    ;;
  stop | status | logs | exec)
    check_installed
    exec "$VENV/bin/python" -m local.checked "$@"
    ;;
  uninstall)
    uninstall "${@:2}"
    exit
    ;;
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
