#!/usr/bin/env bash
# Checks a machine with a GPU in at most 8 minutes, when the packages are installed: runs tests/gpu, then the
# bench of the engine and of each architecture on the GPU, and prints a summary.
#
#   tests/gpu/run.sh [RESULTS]    writes what the parts print, and the bench's plots, to RESULTS (gpu-results)
#   PYTHON=python3 tests/gpu/run.sh    uses the packages of this Python and installs nothing
#
# Ends with 0 when the tests passed, none was skipped, and the bench reached its targets.
set -uo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." || exit 1

results=${1:-gpu-results}
tests_s=200 bench_s=230
mkdir -p "$results"
if [[ -z ${PYTHON:-} ]]; then
  . local/bootstrap.sh
  bootstrap requirements.txt requirements-local.txt requirements-client.txt requirements-test.txt \
    requirements-bench.txt || exit 1
  PYTHON=$VENV/bin/python
fi

# part NAME SECONDS COMMAND...: runs a command, which SIGINT ends early, and keeps its output and exit code.
part() {
  local name=$1 limit_s=$2
  shift 2
  printf '\n== %s, at most %s s\n' "$name" "$limit_s"
  timeout --signal=INT --kill-after=10 "$limit_s" "$@" 2>&1 | tee "$results/$name.txt"
  codes[$name]=${PIPESTATUS[0]}
}

declare -A codes
export PYTHONUNBUFFERED=1
part machine 30 "$PYTHON" -c 'import torch
print("torch", torch.__version__, "CUDA", torch.version.cuda)
print(torch.cuda.get_device_properties(0) if torch.cuda.is_available() else "torch sees no GPU")
raise SystemExit(not torch.cuda.is_available())'
if ((codes[machine])); then
  echo "error: torch cannot use a GPU here; the lines above say what it found" >&2
  exit 1
fi
part tests "$tests_s" "$PYTHON" -m pytest tests/gpu -q --durations=10
# Those that people take on GPUs come first, in case the time does not do for all.
part bench "$bench_s" "$PYTHON" -m bench "$results/bench" --only engine,architectures --device cuda --quick \
  --architectures mel_band_roformer,bs_roformer,mdx23c,htdemucs,vr51,mdx

printf '\n== summary: 124 means that a part was ended by its time limit\n'
cat "$results/machine.txt"
grep -E '^(FAILED|ERROR|SKIPPED)|(passed|failed|skipped|error).* in [0-9]' "$results/tests.txt"
sed -n '/^ *part/,$p' "$results/bench.txt"
printf 'exit codes: tests %s, bench %s; everything is in %s\n' "${codes[tests]}" "${codes[bench]}" "$results"
! grep -qE '^SKIPPED|[0-9] skipped' "$results/tests.txt" && ((codes[tests] == 0 && codes[bench] == 0))
