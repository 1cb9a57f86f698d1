#!/usr/bin/env bash
# Compiles the pinned, hashed requirement files at the top of the repository from the dependency groups in
# pyproject.toml. All groups are resolved together first, so that the files agree with one another.
# Resolved for Python 3.11; the same pins have wheels for 3.12.
# Today's pins stay where they still fit. `requirements/compile.sh --upgrade` takes the newest versions instead.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-uv}
resolve() { # options, groups
  local options=()
  while [[ $1 == -* ]]; do options+=("$1" "$2"); shift 2; done
  "$uv" pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
    --only-binary :all: --override requirements/overrides.txt --generate-hashes --no-emit-index-url --no-header --no-annotate \
    "${options[@]}" "${@/#/--group=}"
}
header='# Compiled by requirements/compile.sh from the dependency groups in pyproject.toml.'
together=$(mktemp)
trap 'rm -f "$together"' EXIT
# uv prefers the pins that it finds in its output file.
[[ ${1:-} == --upgrade ]] || sed -nE 's/^([A-Za-z0-9._-]+==[^ ]+) .*/\1/p' requirements*.txt | sort -u > "$together"
resolve -o "$together" api uploader processor client local test bench console uv
write() { # output file, groups
  local out=$1 compiled; shift
  compiled=$(resolve --constraint "$together" "$@")
  printf '%s\n' "$header" "$compiled" > "$out"
}
write requirements-api.txt api
write requirements-uploader.txt uploader
write requirements-processor.txt processor
write requirements.txt api uploader processor
write requirements-client.txt client
write requirements-local.txt local
write requirements-test.txt test
write requirements-bench.txt bench
write requirements-console.txt console
write requirements-uv.txt uv
