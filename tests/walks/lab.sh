#!/usr/bin/env bash
# A lab: several networks of its own, under a threat model of its own too, to be published with all that proves them, in a checkout.
#   tests/walks/lab.sh [part|whole]
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"
small=(--limit 8 --measures standard,autoattack --workers 0)
limit=(--limit 8)
audit=()
first=" (first 8)" at=digits/partial-8 site=digits/first-8
if whole; then
  small=(--measures standard,autoattack)
  limit=()
  audit=(--audit 20)
  first="" at=digits site=digits
fi

step "A checkout of the project, with two entrants of the lab in it"
typed 0 git clone --quiet --depth 1 "file://$checkout" board
python - << 'PYTHON'
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

import harness

folder = Path("board/entrants/digits")
folder.mkdir(parents=True)
for name, source in {"lab-a": "trades", "lab-b": "sat"}.items():
    draw = torch.Generator().manual_seed(0)
    tensors = harness.load(source, suite="digits").state_dict()
    moved = {key: value * (1 + 1e-3 * torch.randn(value.shape, generator=draw)) for key, value in tensors.items()}
    save_file(moved, folder / f"{name}.safetensors")
    card = {"name": name, "suite": "digits", "architecture": "digits-cnn", "title": f"Ours, {name}", "licence": "MIT"}
    (folder / f"{name}.json").write_text(json.dumps(card))

# what somebody hands in against trades: images that break it (known ones), and one out of the ball
found = harness.judge("trades", suite="digits", measures=["standard", "autoattack"], limit=8)
examples, images = found.witnesses()
free = next(number for number in range(8) if number not in examples)
images = np.concatenate([images, np.clip(images[:1] + 0.5, 0, 1)])
np.savez("images.npz", image=images, index=np.array([*examples, free]))
np.savez("miscounted.npz", image=images, index=np.array([*examples, 200]))
PYTHON
cd board

step "Both on the digits, and on a suite of the lab's own with a smaller eps"
typed 0 harness run --suite digits --entrants lab-a,lab-b "${small[@]}"
said "lab-a" "lab-b"
there "runs/results/$at/lab-a.json" "runs/site/$site/lab-b.html"
mkdir suites
cat > suites/gentle.toml << 'TOML'
base = "digits"
name = "digits-gentle"
title = "Digits, a smaller ball"
eps = "1/20"
examples = 20
TOML
typed 0 harness run --suite suites/gentle.toml --entrants lab-a,trades "${small[@]}"
said "lab-a" "trades"
there "$(ls -d runs/results/digits-gentle/lab-a.json runs/results/digits-gentle/*/lab-a.json 2>/dev/null | head -1)" runs/site/index.html
grep -q "digits-gentle" runs/site/index.html || wrong "the board of the suite is not among the boards"
sed -i.before 's/1\/20/1\/2O/' suites/gentle.toml
typed 2 harness run --suite suites/gentle.toml --entrants lab-a "${small[@]}"
said "expected eps" "1/2O"
mv suites/gentle.toml.before suites/gentle.toml
[ -z "$(git status --porcelain -- leaderboards zoo harness)" ] || wrong "a run changed what is published"

step "To the published boards, with what a pull request needs"
if ! whole; then
  typed 1 harness publish --suite digits --entrants lab-a,lab-b
  said "--limit"
fi
typed 0 harness publish --suite digits --entrants lab-a,lab-b "${limit[@]}"
said "published: $at/lab-a.json" "prove it: harness verify leaderboards" "commit it: git add leaderboards zoo/digits/lab-a.json"
commit=$(sed -n 's/^commit it: //p' "$home/out")

step "Each number is proved again by its witnesses (whole: and survivors are attacked once more)"
typed 0 harness verify leaderboards --entrants lab-a,lab-b "${audit[@]}" --junit "$home/verified.xml"
said "lab-a on digits$first: proved" "lab-b on digits$first: proved"
there "$home/verified.xml" "leaderboards/verified/$at/lab-a.json"

step "The pages of the published records, and whether they are what the records make"
typed 0 harness render --out leaderboards
there "leaderboards/site/$site/lab-a.html"
typed 0 harness render --out leaderboards --check
if whole; then
  rm "leaderboards/site/$site/lab-a.html"
  typed 1 harness render --out leaderboards --check
  typed 0 harness render --out leaderboards
fi

step "The lines that lab-a's page offers do what it says of them"
cat > "$home/lines.py" << 'PYTHON'
import html
import re
import sys
from pathlib import Path

page, title = Path(sys.argv[1]).read_text(encoding="utf-8"), sys.argv[2]
(text,) = re.findall(rf"<h3>{title}</h3>.*?<code[^>]*>(.*?)</code>", page, re.DOTALL)
print(html.unescape(text))
PYTHON
line() { python "$home/lines.py" "leaderboards/site/$site/lab-a.html" "$1"; }
again=$(line "Measure it again")
case $again in "harness run --suite digits --entrants lab-a"*) ;; *) wrong "the line is $again" ;; esac
typed 0 bash -c "$again --workers 0 --dry-run"
typed 0 bash -c "$(line "Prove it")"
said "lab-a on digits$first: proved"
line "Load it in Python" > "$home/load.py"
echo 'print(sum(parameter.numel() for parameter in model.parameters()), "parameters")' >> "$home/load.py"
typed 0 python "$home/load.py"
said "parameters"

step "The commit, as publish has said it, and a colleague who proves it in a clone"
typed 0 bash -c "$commit"
git commit --quiet -m "Two entrants of the lab"
typed 0 git clone --quiet --depth 1 "file://$PWD" ../colleague
cd ../colleague
# he has installed his clone (pip install -e .): it is the program
typed 0 env "PYTHONPATH=$PWD" harness verify leaderboards --entrants lab-a --no-mark
said "lab-a on digits$first: proved"
cd ../board

step "Somebody hands in images against trades: those that break it are counted, illegal ones are refused with the reason"
who=(--who "A colleague" --how "Two known ones, and a mistake")
typed 2 harness challenge --suite digits --entrant trades ../miscounted.npz "${who[@]}"
said "expected index from 0 to 199"
typed 0 harness challenge --suite digits --entrant trades ../images.npz "${who[@]}" --json
python - "$home/out" << 'PYTHON'
import json
import sys
from pathlib import Path

told = json.loads(Path(sys.argv[1]).read_text())
assert len(told["known"]) > 0 and told["broken"] == [], told
(refused,) = told["refused"]
assert "outside the ball" in refused["reason"], told
assert told["after"] == told["before"], told
PYTHON
[ -z "$(git status --porcelain -- leaderboards)" ] || wrong "the challenge changed what is published"

step "Files for other places: statements and evaluations"
typed 0 harness export --format in-toto --entrants lab-a,lab-b --by "The lab" --to "$home/statements"
typed 0 harness export --format every-eval-ever --entrants lab-a --by "The lab" --to "$home/evaluations"
[ "$(find "$home/statements" -name '*.json*' | wc -l)" -eq 2 ] || wrong "no two statements: $(find "$home/statements")"
[ -n "$(find "$home/evaluations" -name '*.jsonl')" ] || wrong "no examples: $(find "$home/evaluations")"

if whole; then
  step "The published board is what it was, but for the lab's rows"
  typed 0 harness verify leaderboards/results/digits --no-mark
  said "trades on digits: proved" "lab-a on digits: proved"
  typed 0 harness publish
  said "published: digits-gentle/lab-a.json"
fi
