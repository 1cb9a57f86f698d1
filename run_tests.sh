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

# Tests wait for other processes, the slow ones more than others, so four processes keep two cores busy.
together=(-n 4 --dist loadfile --no-loadscope-reorder)
# Threads of numeric libraries wait for each other by spinning, which on a busy machine takes most of the time.
export OMP_NUM_THREADS=1
# Without bytecode on the disk every process would compile the tests and their libraries again.
unset PYTHONDONTWRITEBYTECODE
# What is made while lint.sh runs: in a fresh clone mypy takes a minute, and leaves the other cores idle.
meanwhile=()
case ${1:-} in
  '')
    say "every test but the slow ones: about 6 to 8 minutes on two cores"
    meanwhile=(bytecode class_archive)
    set -- -m "not slow" "${together[@]}"
    ;;
  --all)
    say "every test: about 16 to 18 minutes on two cores"
    meanwhile=(bytecode class_archive)
    shift
    set -- "${together[@]}" "$@"
    ;;
  *)
    if [[ -d $1 ]]; then
      meanwhile=(bytecode)
      set -- -m "not slow" "${together[@]}" "$@"
    fi
    ;;
esac

# Otherwise each process that collects the tests would compile them, which takes three times as long.
bytecode() { [[ -d tests/__pycache__ ]] || "$VENV/bin/python" -m pytest --collect-only -qq; }
class_archive() { "$VENV/bin/python" -m tests.support.class_archive; }

bootstrap_for_tests
# Without a registry of npm's packages only the console's own tests fail, and say so.
console/build.sh || say "the console was not built, so its tests will fail: see above"
# Tests need neither of them, so they run also where one cannot be made.
for what in "${meanwhile[@]}"; do "$what" || true; done >.local/meanwhile.log 2>&1 &
trap 'kill $! 2>/dev/null || true' EXIT # a check has failed
./lint.sh
trap - EXIT
wait
exec "$VENV/bin/python" -m pytest "$@"
