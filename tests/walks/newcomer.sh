#!/usr/bin/env bash
# A newcomer: the program is installed, and there is nothing else. What can it do, and what are the first numbers?
#   tests/walks/newcomer.sh [part|whole]
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"
small=(--limit 8 --measures standard,autoattack --workers 0)
boards=runs/site/digits/first-8
if whole; then
  small=()
  boards=runs/site/digits
fi

step "Which verbs are there?"
typed 0 harness --help
said "Measure entrants on a suite" "doctor" "train" "check" "Exit status"

step "A slip of the finger is told, with the verb that was meant"
typed 2 harness runn --suite digits
said "got 'runn'; did you mean run"
typed 2 harness run --suit digits
said "--suite"
typed 2 harness run --suite digit
said "did you mean digits"

step "What can be measured, on what, and who is there to be measured?"
typed 0 harness list suites
said "digits" "mnist" "cifar10" "Linf"
typed 0 harness list measures
said "standard" "autoattack" "energies" "smoothness" "generation"
typed 0 harness list entrants --suite digits
said "trades" "weat-adv" "ships with the project"
gone runs data models entrants

step "The first board, without any data"
typed 0 harness run --suite digits "${small[@]}"
said "accuracies in percent" "trades" "standard" "n: examples measured" "$boards/index.html"
page=$(tail -n 1 "$home/out")
there "$page"
grep -q "weat-adv" "$page" || wrong "the page has no row of weat-adv"
there "$(dirname "$page")/trades.html"
quiet "could not" "failed"

step "The same command again measures nothing"
find runs/results -type f -exec cksum {} + | sort > "$home/before"
typed 0 harness run --suite digits "${small[@]}"
said " 0 of "
quiet "measured trades"
find runs/results -type f -exec cksum {} + | sort | diff "$home/before" - || wrong "the records have changed"

step "CIFAR-10, with no data and no weights here: what is missing, how large it is, and the line that fetches it"
cd "$(mktemp -d "$home/empty.XXXX")"
typed 2 harness run --suite cifar10
said "cifar10 (images)" "170 MB" "data/cifar10/" "models/cifar10/Linf/Wang2020Improving.pt" "in all: about" \
  "harness run --suite cifar10 --download" "runs with nothing: harness run --suite digits"
[ "$(grep -c 'harness: error' "$home/err")" -eq 1 ] || wrong "more than one error"
[ -z "$(ls -A)" ] || wrong "something was left: $(ls -A)"

step "And what would it cost?"
typed 2 harness run --suite cifar10 --entrants sat-compact,Standard --dry-run
said "forward passes" "backward passes" "sat-compact" "Passes are upper bounds" "not known until data and weights are here"
[ -z "$(ls -A)" ] || wrong "something was left: $(ls -A)"

if whole; then
  step "He fetches it, without a network: told in one line, and nothing half-done stays"
  typed 2 harness run --suite cifar10 --entrants sat-compact --download
  said "harness: error"
  [ -z "$(find . -type f)" ] || wrong "files were left: $(find . -type f)"

  step "The plan of what can be measured here has a time"
  cd "$home/project"
  typed 0 harness run --suite digits --entrants trades --measures standard,generation --dry-run
  said "time"
fi
