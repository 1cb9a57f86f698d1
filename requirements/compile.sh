#!/usr/bin/env bash
# Compiles the pinned, hashed requirement files at the top of the repository from the .in files here.
# Everything is resolved together first, so that the files agree with one another.
# Resolved for Python 3.11; the same pins have wheels for 3.12.
# Today's pins stay where they still fit. `requirements/compile.sh --upgrade` takes the newest versions instead.
set -euo pipefail
cd "$(dirname "$0")"
uv=${UV:-uv}
resolve() {
  "$uv" pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
    --only-binary :all: --override overrides.txt --no-emit-index-url --no-header --no-annotate "$@"
}
header='# Compiled by requirements/compile.sh; edit requirements/*.in instead.'
together=$(mktemp)
trap 'rm -f "$together"' EXIT
# uv prefers the pins that it finds in its output file.
[[ ${1:-} == --upgrade ]] || sed -nE 's/^([A-Za-z0-9._-]+==[^ ]+) .*/\1/p' ../requirements*.txt | sort -u > "$together"
resolve api.in uploader.in processor.in client.in local.in test.in bench.in uv.in -o "$together"
write() { # output file, input files
  local out=$1; shift
  { echo "$header"; resolve --generate-hashes --constraint "$together" "$@"; } > "../$out"
}
write requirements-api.txt api.in
write requirements-uploader.txt uploader.in
write requirements-processor.txt processor.in
write requirements.txt api.in uploader.in processor.in
write requirements-client.txt client.in
write requirements-local.txt local.in
write requirements-test.txt test.in client.in
write requirements-bench.txt bench.in
write requirements-uv.txt uv.in
