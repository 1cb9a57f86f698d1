# Sourced by start_local.sh: what to do where the commands that need no installation cannot run.

check_installed() {
  ! venv_works || ! was_installed || return 0
  check_not_elsewhere
  fail "UVR API is not installed here yet: run ./start_local.sh"
}

# check_not_elsewhere [WORDS]: fails, with these words at first, where the stack runs from another environment.
check_not_elsewhere() {
  local running
  running=$(processes)
  [[ -z $running ]] || fail "${1:-}processes of this stack still run (pid $running), but not from $VENV: \
set UVR_VENV as it was set at the start, or end what runs of it with: kill $running"
}

# Whether what the commands import is there. Otherwise sets `why_not`.
can_run() {
  local probe='from local import __main__, service_settings; service_settings.names()'
  why_not=$("$VENV/bin/python" -c "$probe" 2>&1 >/dev/null) && return
  why_not=${why_not##*$'\n'}
  return 1
}

# explain WHY_NOT: local/checked.py ends with it.
explain() {
  local file what="$VENV is damaged" remedy="move it away and run ./start_local.sh, which" ending='' running
  for file in "${PRODUCT[@]}"; do
    is_installed "$file" && continue
    what='the installation is not complete' remedy='run ./start_local.sh, which completes it and'
  done
  running=$(processes)
  [[ -z $running ]] || ending="; end what runs of it with: kill $running"
  fail "$what ($1): $remedy needs the network$ending"
}

# Prints the numbers of the processes of this stack, with spaces between them.
processes() {
  local running
  running=$(grep -lzsxF "UVR_LOCAL_STACK=$(pwd -P)" /proc/[0-9]*/environ | cut -d/ -f3 | tr '\n' ' ' || true)
  printf '%s' "${running% }"
}
