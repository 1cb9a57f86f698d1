# Sourced by start_local.sh and run_tests.sh: makes a virtual environment with the pinned, hashed requirements.
# It needs only a Linux machine with Python 3.11 or 3.12.
#
#   UVR_VENV    the directory of the environment (default .venv)
#   UVR_PYTHON  the Python that makes it (default: the first suitable one on PATH)

VENV=${UVR_VENV:-.venv}
PRODUCT=(requirements.txt requirements-local.txt requirements-client.txt)
NEEDED_GB=9 # 7.3 GB were measured, with uv's cache on the same disk; the rest is for running

# The first file tells `uninstall` that it may remove the environment, wherever it is.
OUR_MARK=.made-by-uvr-api
UNFINISHED=.unfinished

say() { printf '%s\n' "$*" >&2; }
words() { printf ' %q' "$@"; } # quoted for a shell
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# bootstrap FILE...: installs everything in the requirement files that is missing.
bootstrap() {
  check_machine
  (umask 077 && mkdir -p .local)
  own_caches
  one_at_a_time
  venv_works || make_venv
  local file missing=()
  for file in "$@"; do
    is_installed "$file" || missing+=("$file")
  done
  if ((${#missing[@]})); then
    check_disk
    install "${missing[@]}"
  fi
  exec 9>&-
}

bootstrap_for_tests() {
  bootstrap "${PRODUCT[@]}" requirements-test.txt
}

# uv keeps its cache below .local, where `uninstall` finds it, unless the user already has a cache of uv.
own_caches() {
  local shared=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/uv
  if [[ -z ${UV_CACHE_DIR:-} && ! -e $shared ]]; then export UV_CACHE_DIR=$PWD/.local/cache/uv; fi
  export UV_PYTHON_INSTALL_DIR=${UV_PYTHON_INSTALL_DIR:-$PWD/.local/python}
}

check_machine() {
  [[ $(uname -s) == Linux && $(uname -m) == x86_64 ]] ||
    fail "UVR API needs Linux on x86-64, and this is $(uname -s) on $(uname -m)"
  # PATH, PYTHONPATH and Java's list of jars have no escape for a colon.
  [[ $PWD != *[:$'\n']* ]] ||
    fail "UVR API cannot run in a directory whose path has a colon or a line break: move the checkout (${PWD@Q})"
}

one_at_a_time() {
  exec 9>.local/setup.lock
  command -v flock >/dev/null || return 0
  flock -n 9 || {
    say "another set-up is running in this directory; waiting for it to end"
    flock 9
  }
}

venv_works() { [[ -x $VENV/bin/python && ! -e $VENV/$UNFINISHED ]] && fits "$VENV/bin/python"; }

fits() {
  "$1" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)) or sys.maxsize < 2**32)' 2>/dev/null
}

has_pip() { "$1" -c 'import pip' 2>/dev/null; }
has_venv_module() { "$1" -c 'import venv, ensurepip' 2>/dev/null; }

# Fails where making the environment would remove what the set-up has not made.
check_replaceable() {
  local mounted=()
  [[ ! -L $VENV || -e $VENV ]] ||
    fail "$VENV is a link to $(readlink "$VENV"), which does not exist: remove the link, or make what it leads to"
  [[ -e $VENV ]] || return 0
  if [[ ! -d $VENV || -n $(ls -A "$VENV") && ! -e $VENV/$OUR_MARK && -z $(stamps) ]]; then
    [[ ! -e $VENV/pyvenv.cfg ]] ||
      fail "$VENV has an unsuitable Python and was not made by this set-up: move it away, or set UVR_VENV"
    fail "$VENV exists but is no virtual environment: move it away, or set UVR_VENV"
  fi
  mapfile -td '' mounted < <(mounts_below "$(realpath "$VENV")" | sort -zr)
  ((${#mounted[@]} == 0)) ||
    fail "$VENV cannot be made anew while something is mounted in it: unmount$(words "${mounted[@]}"), or set UVR_VENV"
}

make_venv() {
  check_replaceable
  local python without_venv='' candidates=(python3.12 python3.11 python3 python)
  [[ -z ${UVR_PYTHON:-} ]] || candidates=("$UVR_PYTHON")
  for python in "${candidates[@]}"; do
    fits "$python" || continue
    if has_venv_module "$python"; then
      check_disk
      say "making the virtual environment $VENV with $("$python" --version)"
      begin_venv
      "$python" -m venv "$VENV" || fail "cannot make the virtual environment $VENV with $python: see above"
      rm "$VENV/$UNFINISHED"
      return
    fi
    without_venv=$python
  done
  make_venv_with_uv "$without_venv"
}

# Without a suitable Python, or without its venv module, uv makes the environment: it can download Python 3.12.
make_venv_with_uv() {
  local without_venv=$1 uv wanted found
  wanted=${without_venv:-3.12}
  found=$("${UVR_PYTHON:-python3}" --version 2>/dev/null || true)
  if uv=$(find_uv); then
    say "no Python 3.11 or 3.12 with its venv module was found; uv makes the environment with $wanted"
    begin_venv
    "$uv" venv --allow-existing --seed --python "$wanted" "$VENV" 2>.local/uv.log &&
      rm "$VENV/$UNFINISHED" && return
    say "uv failed: see .local/uv.log"
  fi
  [[ -z $without_venv ]] ||
    fail "$without_venv has no venv module: install it (Debian, Ubuntu: apt install python3-venv), or install uv"
  fail "Python 3.11 or 3.12 is needed, found ${found:-none}: install one, or set UVR_PYTHON to where it is"
}

# Empties the directory, and marks it before anything is in it: a start may be killed at any time.
begin_venv() {
  mkdir -p "$VENV"
  pwd -P >"$VENV/$OUR_MARK"
  touch "$VENV/$UNFINISHED"
  find -H "$VENV" -mindepth 1 ! -name "$OUR_MARK" ! -name "$UNFINISHED" -delete
}

# Prints the mount points below a directory that is given without links, each with a null byte after it. Bind mounts
# are among them, of which the number of the device tells nothing.
mounts_below() {
  local point
  while read -r _ _ _ _ point _; do
    printf -v point %b "${point//\\0/\\00}" # a space is written as \040, and %b takes up to three digits after \0
    [[ $point != "${1%/}"/* ]] || printf '%s\0' "$point"
  done </proc/self/mountinfo
}

find_uv() {
  command -v uv && return
  local python=${UVR_PYTHON:-python3}
  has_venv_module "$python" || return
  { "$python" -m venv --clear .local/uv && pip_install_uv .local/uv; } >&2 || return
  echo .local/uv/bin/uv
}

pip_install_uv() {
  # --ignore-installed: what an interrupted installation has left must not count.
  "$1/bin/python" -m pip install --quiet --no-input --no-cache-dir --disable-pip-version-check \
    --ignore-installed --require-hashes --only-binary :all: -r requirements-uv.txt
}

stamps() { find -H "$VENV" -maxdepth 1 -name '.installed-*'; }
stamp_of() { echo "$VENV/.installed-$1"; }
# The mark is there while the file's packages are being installed.
mark_of() { echo "$VENV/.installing-$1"; }
is_installed() { [[ -s $(stamp_of "$1") ]] && sha256sum --status -c "$(stamp_of "$1")" 2>/dev/null; }
was_installed() { [[ -f $(stamp_of requirements-local.txt) ]]; }

check_disk() {
  local cache=${UV_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/uv}
  mkdir -p "$cache"
  if [[ $(stat -Lc %d "$cache") == "$(stat -Lc %d "$(above "$VENV")")" ]]; then
    check_free "$VENV" "$(needed_gb "$VENV" .local/cache/uv)"
  else
    check_free "$VENV" "$(needed_gb "$VENV")"
    check_free "$cache" "$(needed_gb .local/cache/uv)"
  fi
}

# Prints how much is still to be written, where these directories have what an interrupted set-up has written.
needed_gb() {
  local written_gb gb later_gb=2 # changes after the set-up are small
  written_gb=$(($({ du -skcH -- "$@" 2>/dev/null || true; } | awk 'END { print $1 }') / 1000000))
  gb=$((NEEDED_GB - written_gb))
  [[ ! -f $(stamp_of requirements.txt) ]] || gb=$later_gb
  ((gb >= later_gb)) || gb=$later_gb
  echo $((gb < NEEDED_GB ? gb : NEEDED_GB))
}

# Prints the path, or the lowest directory above it that exists.
above() {
  local path=$1
  while [[ ! -e $path ]]; do path=$(dirname "$path"); done
  echo "$path"
}

check_free() { # directory, GB
  local free_gb
  free_gb=$(($(df -Pk "$(above "$1")" | awk 'NR == 2 { print $4 }') / 1000000))
  ((free_gb >= $2)) || fail "the disk is too full: $2 GB are needed to install, $free_gb GB are free at $(realpath "$1")"
}

install() {
  local file files=() again=() uv=$VENV/bin/uv
  for file in "$@"; do
    files+=(-r "$file")
    # An earlier version's stamp stays, without its digest: `check_disk` looks whether there is one.
    [[ ! -f $(stamp_of "$file") ]] || : >"$(stamp_of "$file")"
  done
  if [[ ! -x $uv ]]; then
    if has_pip "$VENV/bin/python"; then pip_install_uv "$VENV"; else uv=$(find_uv); fi ||
      fail "cannot install uv with pip, see above: check the network and PIP_INDEX_URL"
  fi
  local note=""
  [[ " $* " != *" requirements.txt "* ]] || note=" (the first time about 3 GB are downloaded, which takes some minutes)"
  say "installing $*$note"
  for file in "$@"; do
    # uv takes a package for complete of which an interrupted installation has left the description.
    [[ ! -e $(mark_of "$file") ]] || again=(--reinstall)
    touch "$(mark_of "$file")"
  done
  # --no-deps: the files are complete. They leave out diffq on purpose, which is not free for commercial use.
  with_pip_settings "$uv" pip install --python "$VENV/bin/python" --no-deps --require-hashes \
    --only-binary :all: "${again[@]}" "${files[@]}" || fail "cannot install $*: see above"
  for file in "$@"; do rm "$(mark_of "$file")"; done
  for file in "$@"; do sha256sum "$file" >"$(stamp_of "$file")"; done
}

# uv does not read pip's settings, which may name the only package index that this machine can reach.
with_pip_settings() (
  pip_settings=$("$VENV/bin/python" -m pip config list 2>/dev/null || true)
  pip_setting() { # the lines are global.NAME='VALUE', with \n between several values
    sed -nE "s/^(global|install)\.$1='(.*)'$/\2/p" <<<"$pip_settings" | tail -n 1 | sed 's/\\n/ /g'
  }
  index=${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-${PIP_INDEX_URL:-$(pip_setting index-url)}}}
  extra=${UV_INDEX:-${UV_EXTRA_INDEX_URL:-${PIP_EXTRA_INDEX_URL:-$(pip_setting extra-index-url)}}}
  cert=${SSL_CERT_FILE:-${PIP_CERT:-$(pip_setting cert)}}
  [[ -z $index ]] || export UV_DEFAULT_INDEX=$index
  [[ -z $extra ]] || export UV_INDEX=$extra
  [[ -z $cert ]] || export SSL_CERT_FILE=$cert
  export UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-180}
  exec "$@"
)
