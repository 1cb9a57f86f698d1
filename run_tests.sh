#!/usr/bin/env bash
# Sets up what is missing, checks the code as ./lint.sh does, then runs the tests.
#
#   ./run_tests.sh              every test that is not marked `slow`
#   ./run_tests.sh --all        every test
#   ./run_tests.sh FOLDER...    those of some folders, without the slow ones; after --all with them
#   ./run_tests.sh FILE...      the tests in these files, the slow ones too
#
# Further arguments go to pytest.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
. local/bootstrap.sh

# Most tests wait for other processes, so three processes keep two cores busy.
together=(-n 3 --dist loadfile --no-loadscope-reorder)
# Threads of numeric libraries wait for each other by spinning, which on a busy machine takes most of the time.
export OMP_NUM_THREADS=1
# Without bytecode on the disk every process would compile the tests and libraries again: a minute of CPU in each run.
unset PYTHONDONTWRITEBYTECODE
case ${1:-} in
  '')
    say "every test but the slow ones: about 8 minutes on two cores"
    set -- -m "not slow" "${together[@]}"
    ;;
  --all)
    say "every test: about 26 minutes on two cores"
    shift
    set -- "${together[@]}" "$@"
    ;;
  *) [[ ! -d $1 ]] || set -- -m "not slow" "${together[@]}" "$@" ;;
esac

./lint.sh
exec "$VENV/bin/python" -m pytest "$@"
