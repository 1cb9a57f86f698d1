# Sourced by start_local.sh: removes everything that the set-up has put on this machine, and nothing else.

OUR_DIRECTORIES=(.local api/console/assets models logs)

# uninstall [--yes]: lists the directories, asks, stops the stack, removes the directories.
uninstall() {
  local agreed='' paths=() left=() mounted failed='' path
  case ${1:-} in
    --yes) agreed=yes ;;
    '') ;;
    *)
      printf 'usage: ./start_local.sh uninstall [--yes]\n' >&2
      exit 2
      ;;
  esac
  (($# < 2)) || fail "uninstall takes no argument beside --yes (got ${2@Q})"
  mapfile -t paths < <(what_is_ours)
  if ((${#paths[@]} == 0)); then
    printf 'There is nothing to remove.\n'
    return
  fi
  mapfile -td '' left < <(what_stays)
  describe "${paths[@]}"
  [[ -n $agreed ]] || ask
  stop_what_runs
  for path in "${paths[@]}"; do
    if is_venv "$path" && is_mounted "$path"; then remove_contents "$path"; else remove "$path"; fi
  done
  remove_bytecode
  mapfile -td '' mounted < <(mounts_below "$(pwd -P)" | sort -zr) # the inner ones first
  if ((${#left[@]} == 0)); then
    printf 'Removed. Only this checkout is left. To remove it too: rm -r %q\n' "$PWD"
  else
    printf 'Removed. Left are this checkout and:\n'
    printf '  %s\n' "${left[@]}"
    printf 'To remove the checkout too'
    ((${#mounted[@]} == 0)) || printf ', unmount%s first. Then' "$(words "${mounted[@]}")"
    printf ': rm -r %q\n' "$PWD"
  fi
  [[ -z $failed ]]
}

# Removes what is at a path and not mounted. Adds what cannot be removed to the caller's `left`.
remove() {
  local place
  ! is_mounted "$1" || return 0
  find_place "$1"
  if [[ ! -L $1 && -n $(mounts_below "$place" | tr '\0' ' ') ]]; then
    remove_contents "$1"
  elif ! rm -rf -- "$1"; then
    left+=("$place, which could not be removed: see above")
    failed=yes
  fi
}

remove_contents() {
  local entry entries
  mapfile -td '' entries < <(find -H "$1" -mindepth 1 -maxdepth 1 -print0)
  for entry in "${entries[@]}"; do remove "$entry"; done
}

remove_bytecode() {
  local path paths ours=() point points
  mapfile -td '' paths < <(find "$(pwd -P)" -name __pycache__ -prune -print0)
  mapfile -td '' points < <(mounts_below "$(pwd -P)")
  for path in "${paths[@]}"; do
    for point in "${points[@]}"; do
      [[ $path/ != "$point"/* && $point != "$path"/* ]] || continue 2
    done
    ours+=("$path")
  done
  # In few calls: there may be thousands.
  if ((${#ours[@]})) && ! printf '%s\0' "${ours[@]}" | xargs -0r rm -rf --; then
    left+=("bytecode that could not be removed: see above")
    failed=yes
  fi
}

# Sets `place` to the absolute path of what `rm` would remove: of a link itself, and not of what it leads to. It is not
# printed, since the shell would take a line break from its end.
find_place() {
  local parent name
  IFS= read -rd '' name < <(basename -z -- "$1")
  IFS= read -rd '' parent < <(dirname -z -- "$1" | xargs -0 realpath -z --)
  place=${parent%/}/$name
}

is_mounted() {
  local point place
  find_place "$1"
  while IFS= read -rd '' point; do
    [[ $point != "$place" ]] || return 0
  done < <(mounts_below "${place%/*}")
  return 1
}

is_venv() { [[ $1 == "$VENV" || $1 == "$(realpath "$VENV")" ]]; }

# Prints the paths, one per line. Directories that a setting has put elsewhere belong to the user.
what_is_ours() {
  local path
  if [[ -d $VENV ]] && is_our_venv; then
    [[ ! -L $VENV ]] || realpath "$VENV"
    printf '%s\n' "$VENV"
  fi
  for path in "${OUR_DIRECTORIES[@]}"; do
    [[ ! -e $path && ! -L $path ]] || is_mounted "$path" || printf '%s\n' "$path"
  done
}

# Prints what is left, each with a null byte after it: an environment of the user, what links lead to, what is mounted.
what_stays() {
  local path point
  if [[ -d $VENV ]] && ! is_our_venv; then printf '%s, which the set-up has not made\0' "$(realpath "$VENV")"; fi
  for path in "${OUR_DIRECTORIES[@]}"; do
    [[ ! -L $path || ! -e $path ]] || printf '%s, to which %s was a link\0' "$(realpath "$path")" "$path"
  done
  what_is_mounted | sort -zu | while IFS= read -rd '' point; do printf '%s, which is mounted\0' "$point"; done
}

# Prints the mount points in the checkout and in our environment, each with a null byte after it.
what_is_mounted() {
  mounts_below "$(pwd -P)"
  if [[ -d $VENV ]] && is_our_venv; then
    mounts_below "$(realpath "$VENV")"
    if is_mounted "$(realpath "$VENV")"; then realpath -z "$VENV"; fi
  fi
}

is_our_venv() {
  local mark=$VENV/$OUR_MARK
  if [[ -f $mark && $(<"$mark") == "$(pwd -P)" ]]; then return; fi
  # The mark names another directory if the checkout was moved. Versions before the marks left only the stamps.
  [[ $(realpath "$VENV") == "$(pwd -P)/.venv" ]] && [[ -f $mark || -f $(stamp_of requirements.txt) ]]
}

describe() {
  local path size_kib
  printf 'This removes, with all tasks and stems:\n\n'
  # In one call, so that du counts a file only once that two directories share. It fails where it may not read.
  { du -sk -- "$@" || true; } | while read -r size_kib path; do
    printf '  %9s  %-18s %s\n' "$(readable "$size_kib")" "$path" "$(purpose "$path")"
  done
  printf '\nand the bytecode that Python has compiled (__pycache__).'
  printf '\nIt keeps .env, files with users and secrets, what is mounted, and directories that settings have put elsewhere.\n'
}

readable() { # KiB
  awk -v kib="$1" 'BEGIN {
    mb = kib * 1024 / 1e6
    if (mb >= 1000) printf "%.1f GB", mb / 1000; else printf "%.1f MB", mb
  }'
}

purpose() {
  case $1 in
    "$VENV" | "$(realpath "$VENV")") echo "the Python environment" ;;
    .local) echo "tasks, stems, the demo's files, Kafka, downloads, caches$(cache_note)" ;;
    api/console/assets) echo "the console" ;;
    models) echo "models" ;;
    logs) echo "logs" ;;
  esac
}

cache_note() { [[ ! -d .local/cache/uv ]] || echo " (uv's among them)"; }

ask() {
  local answer
  [[ -t 0 ]] || fail "nothing was removed: without a terminal to ask at, add --yes"
  read -r -p $'\nRemove it? [y/N] ' answer || true
  [[ $answer == [yY] || $answer == [yY][eE][sS] ]] || fail "nothing was removed"
}

stop_what_runs() {
  if [[ -d .local ]]; then one_at_a_time; fi
  local running why_not=''
  venv_works || check_not_elsewhere "nothing was removed: "
  # Without its packages it cannot be stopped, and may not run either.
  if [[ -d .local/run ]] && can_run; then
    "$VENV/bin/python" -m local stop || (($? != 130)) || fail "nothing was removed: the stop was interrupted"
  fi
  running=$(processes)
  [[ -z $why_not ]] || why_not=", and what stops them cannot run ($why_not)"
  [[ -z $running ]] || fail "nothing was removed: processes of this stack still run (pid $running)$why_not: \
end what runs of it with: kill $running"
}
