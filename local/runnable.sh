# Sourced by start_local.sh: whether the commands that need no installation can run, and what to do where they cannot.

# Asks for what they import and not for the marks of an installation: one that fails may have changed nothing.
# Otherwise sets `why_not`. The settings' libraries are needed only where their names are not kept from earlier.
can_run() {
  local probe='from local import __main__, service_settings; service_settings.names()'
  why_not=$("$VENV/bin/python" -c "$probe" 2>&1 >/dev/null) && return
  why_not=${why_not##*$'\n'}
  return 1
}

check_runnable() {
  local file what="$VENV is damaged" remedy="move it away and run ./start_local.sh, which" ending='' running
  if ! venv_works || ! was_installed; then fail "UVR API is not installed here yet: run ./start_local.sh"; fi
  ! can_run || return 0
  for file in "${PRODUCT[@]}"; do
    is_installed "$file" && continue
    what='the installation is not complete' remedy='run ./start_local.sh, which completes it and'
  done
  running=$(processes)
  [[ -z $running ]] || ending="; end what runs of it with: kill $running"
  fail "$what ($why_not): $remedy needs the network$ending"
}

# Prints the numbers of the processes of this stack, with spaces between them.
processes() {
  local running
  running=$(grep -lzsxF "UVR_LOCAL_STACK=$(pwd -P)" /proc/[0-9]*/environ | cut -d/ -f3 | tr '\n' ' ' || true)
  printf '%s' "${running% }"
}
