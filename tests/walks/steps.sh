# What the walks share: a fresh folder, a step, a line as it is typed, and what is seen after it.
#
#   step WHAT THE USER WANTS     told, so that a walk that stops says where
#   typed STATUS COMMAND ...     run a line; its exit status must be this one, and it may show no traceback and no warning of Python
#   said TEXT ...                each text stands in what the last line said, on stdout or stderr
#   quiet TEXT ...               none of them does
#   there FILE ...  gone FILE .. files that are there and not empty; files and folders that are not there
#
# `part` (default) judges a few images, `whole` does all that the user would do. `small` is for options of the part alone.
set -euo pipefail

extent=${1:-part}
case $extent in
  part | whole) ;;
  *) echo "expected part or whole, got $extent; give one of them" >&2; exit 2 ;;
esac
whole() { [ "$extent" = whole ]; }

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
home=$(mktemp -d)
home=$(cd "$home" && pwd -P)
mkdir "$home/project"
cd "$home/project"

# a user's machine: nothing of ours in the home folder, a wide terminal, and no network
export HOME=$home XDG_CACHE_HOME=$home/.cache COLUMNS=200
unset GITHUB_ACTIONS GITHUB_STEP_SUMMARY
for name in http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY; do
  export "$name=http://127.0.0.1:9"
done
export no_proxy="" NO_PROXY=""
export GIT_AUTHOR_NAME=walker GIT_AUTHOR_EMAIL=walker@example.org GIT_COMMITTER_NAME=walker GIT_COMMITTER_EMAIL=walker@example.org

finished() {
  local status=$?
  if [ "$status" -eq 0 ]; then
    rm -rf "$home"
  else
    echo "the walk stopped (exit status $status); its folder is kept: $home" >&2
  fi
}
trap finished EXIT

wrong() { echo "not what the user expects: $*" >&2; exit 1; }

step() { printf '\n# %s\n' "$*"; }

typed() {
  local expected=$1 status=0
  shift
  printf "$ %s\n" "$(printf "%q " "$@")"
  "$@" > "$home/out" 2> "$home/err" < /dev/null || status=$?
  cat "$home/err" "$home/out"
  [ "$status" -eq "$expected" ] || wrong "exit status $status in place of $expected of: $*"
  quiet "Traceback (most recent call last)" "Warning: "
}

said() {
  local text
  for text in "$@"; do
    grep -qF -e "$text" "$home/out" "$home/err" || wrong "nothing said: $text"
  done
}

quiet() {
  local text
  for text in "$@"; do
    if grep -qF -e "$text" "$home/out" "$home/err"; then wrong "it said: $text"; fi
  done
}

there() {
  local file
  for file in "$@"; do
    [ -s "$file" ] || wrong "no file $file (there are: $(ls "$(dirname "$file")" 2>&1 | tr '\n' ' '))"
  done
}

gone() {
  local file
  for file in "$@"; do
    [ ! -e "$file" ] || wrong "$file is there"
  done
}
