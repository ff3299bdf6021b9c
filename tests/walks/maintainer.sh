#!/usr/bin/env bash
# A CI engineer: a model that is released is to stay as robust as it is. What is typed by hand, in a job, and by a hook.
#   tests/walks/maintainer.sh [part|whole]
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"
limit=(--limit 40)
measured=40
margin=0.1
if whole; then
  limit=()
  measured=200
  margin=0.03
fi

# the engineer's repository: the released weights with their card, and git; no pyproject.toml
python - << 'PYTHON'
import json
from pathlib import Path

from safetensors.torch import save_file

import harness

folder = Path("entrants/digits")
folder.mkdir(parents=True)
for name, source in {"released": "weat-adv", "candidate": "trades", "broken": "standard"}.items():
    save_file(harness.load(source, suite="digits").state_dict(), folder / f"{name}.safetensors")
    card = {"name": name, "suite": "digits", "architecture": "digits-cnn"}
    (folder / f"{name}.json").write_text(json.dumps(card))
PYTHON
git init --quiet --initial-branch main .
git add entrants
git commit --quiet -m "What is released"
check=(harness check --suite digits --baseline baselines --workers 0)

step "Without a baseline: how is one made?"
typed 2 "${check[@]}" --entrant released
said "baselines"

step "What is released is measured once; what was found by example is the baseline"
typed 0 harness run --suite digits --entrants released "${limit[@]}" --measures standard,autoattack --workers 0 --out "$home/run"
typed 0 harness baseline --suite digits --entrant released "${limit[@]}" --out "$home/run"
said "wrote: released on digits, $measured examples"
there baselines/digits/released.safetensors
git add baselines && git commit --quiet -m "The baseline"

step "The released weights pass, and nothing is measured"
typed 0 "${check[@]}" --entrant released --margin "$margin"
said "PASS released on digits" "nothing was measured"

step "A network without robustness fails, and the job has reports of it"
check[5]=baselines/digits/released.safetensors
typed 1 "${check[@]}" --entrant broken --margin "$margin" --json --junit "$home/junit.xml" --summary "$home/summary.md" \
  --lost "$home/lost.csv"
python - "$home" << 'PYTHON'
import json
import sys
from pathlib import Path
from xml.etree import ElementTree

home = Path(sys.argv[1])
verdict = json.loads((home / "out").read_text())
(gate,) = verdict["gates"]
assert verdict["outcome"] == gate["outcome"] == "fail", verdict
assert gate["lost"] == len(verdict["lost"]) > 10, gate
assert [case.find("failure") is not None for case in ElementTree.parse(home / "junit.xml").iter("testcase")] == [True]
assert "standard" not in (home / "summary.md").read_text() and "broken" in (home / "summary.md").read_text()
assert len((home / "lost.csv").read_text().splitlines()) == 1 + gate["lost"]
PYTHON

step "On GitHub the failure is an annotation of the job, and stands in its summary"
GITHUB_ACTIONS=true GITHUB_STEP_SUMMARY=$home/step.md typed 1 "${check[@]}" --entrant broken --margin "$margin"
said "::error"
there "$home/step.md"

step "A check that is cut off goes on from what it has kept, outside of the tree"
touch "$home/cut"
"${check[@]}" --entrant candidate --margin "$margin" > "$home/out" 2> "$home/cut" &
pid=$!
until grep -q "apgd-ce:" "$home/cut" || ! kill -0 "$pid"; do sleep 0.1; done
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
cat "$home/cut"
[ "$status" -eq 143 ] || wrong "exit status $status in place of 143"
kept() { find "$XDG_CACHE_HOME/robust-energy-harness" -type f -name '*.safetensors' -exec cksum {} + | sort; }
kept > "$home/before"
[ -s "$home/before" ] || wrong "nothing was kept"
[ -z "$(git status --porcelain)" ] || wrong "the check left something: $(git status --porcelain)"
if whole; then
  typed 0 "${check[@]}" --entrant candidate --margin "$margin"
  said "PASS candidate on digits"
else
  typed 3 "${check[@]}" --entrant candidate --margin "$margin"
  said "UNDECIDED candidate on digits" "examples would decide"
fi
kept > "$home/after"
# of what was kept one file alone is another now: what the first stages had left of AutoAttack's shard, and then the whole shard
[ "$(comm -23 "$home/before" "$home/after" | wc -l)" -eq 1 ] || wrong "measured twice: $(comm -23 "$home/before" "$home/after")"
[ "$(comm -13 "$home/before" "$home/after" | wc -l)" -eq 1 ] || wrong "the check had ended before it was cut off"

step "Several gates, from a file"
cat > gates.toml << 'TOML'
alpha = 0.05
[robust]
margin = 0.25
[standard]
margin = 0.25
TOML
typed 0 "${check[@]}" --entrant candidate --gates gates.toml
said "PASS candidate on digits" "robust accuracy" "1 other gate"
typed 2 "${check[@]}" --entrant candidate --gates gates.toml --margin 0.1
said "--gates"

step "A margin that so few examples cannot decide is refused, with the one that they can"
typed 2 "${check[@]}" --entrant candidate --margin 0.001
said "margin"

step "Before a push: the hook, as the guide has it"
if ! command -v pre-commit > /dev/null; then
  [ -z "${CI:-}" ] || wrong "pre-commit is not installed; do: pip install pre-commit"
  echo "left out: pre-commit is not installed"
  exit 0
fi
python - "$checkout/docs/check.md" "$margin" > .pre-commit-config.yaml << 'PYTHON'
import re
import sys
from pathlib import Path

(hook,) = re.findall(r"^```yaml\n(default_install_hook_types.*?)^```", Path(sys.argv[1]).read_text(), re.DOTALL | re.MULTILINE)
assert "--entrant weat-adv --baseline baselines --margin 0.03" in hook
print(hook.replace("weat-adv", "released").replace("0.03", sys.argv[2]), end="")
PYTHON
git init --quiet --bare "$home/remote.git"
git remote add origin "$home/remote.git"
git add .pre-commit-config.yaml gates.toml && git commit --quiet -m "The hook"
typed 0 pre-commit install --hook-type pre-push
there .git/hooks/pre-push
typed 0 git push --quiet origin main
said "robust accuracy" "Passed"

step "Weights that are less robust do not leave the machine"
cp entrants/digits/broken.safetensors entrants/digits/released.safetensors
git commit --quiet -am "Faster weights"
typed 1 git push --quiet origin main
said "robust accuracy" "Failed" "FAIL released on digits"
[ "$(git -C "$home/remote.git" log --oneline main | grep -c Faster)" -eq 0 ] || wrong "they were pushed"
[ -z "$(git status --porcelain)" ] || wrong "the hook left something: $(git status --porcelain)"

if whole; then
  step "A test of the engineer's own, as the README has it"
  cat > test_robust_accuracy.py << 'PYTHON'
import subprocess


def test_robust_accuracy_has_not_dropped():
    check = "harness check --suite digits --entrant candidate --baseline baselines/digits/released.safetensors --margin 0.03"
    done = subprocess.run(check.split(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
PYTHON
  typed 0 python -m pytest -q -p no:cacheprovider test_robust_accuracy.py
fi
