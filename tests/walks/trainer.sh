#!/usr/bin/env bash
# A researcher of training: an objective and an architecture of one's own, over seeds, against what others do.
#   tests/walks/trainer.sh [part|whole]
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"
epochs=1
seeds=1,2
few=(--limit 300)
small=(--limit 8 --measures standard --workers 0)
site=digits/first-8
if whole; then
  epochs=5
  seeds=1,2,3
  few=()
  small=(--measures standard,autoattack)
  site=digits
fi
entrants=${seeds//,/,ours-s}
entrants=ours-s$entrants

# the researcher's module and recipe
cat > ours.py << 'PYTHON'
import torch
import torch.nn.functional as F

from harness.training.objectives import kl


class Smoothed:
    attack = "kl"
    beta = 6.0
    title = "TRADES with smoothed labels"

    def __init__(self, smoothing=0.0):
        self.smoothing = smoothing

    def loss(self, logits, logits_adv, y, setting):
        ce = F.cross_entropy(logits, y, reduction="none", label_smoothing=self.smoothing)
        return ce + setting.beta * kl(logits, logits_adv)


def net(classes, shape):
    c, h, w = shape
    hidden = torch.nn.Linear(c * h * w, 48)
    return torch.nn.Sequential(torch.nn.Flatten(), hidden, torch.nn.ReLU(), torch.nn.Linear(48, classes))
PYTHON
mkdir recipes
cat > recipes/ours.toml << TOML
base = "trades"
objective = "ours:Smoothed"
architecture = "ours:net"
epochs = $epochs
attack_steps = 3
[objective_settings]
smoothing = 0.1
TOML
train=(harness train --suite digits --recipe recipes/ours.toml "${few[@]}")

step "What is there to begin with?"
typed 0 harness list recipes
said "trades" "weat-adv"

step "A slip in the recipe is told before data are read"
sed 's/attack_steps/atack_steps/' recipes/ours.toml > recipes/slip.toml
typed 2 harness train --suite digits --recipe recipes/slip.toml --name ours
said "atack_steps" "attack_steps"
gone entrants

step "Two or three seeds at once, with the numbers of the training as a table"
typed 0 "${train[@]}" --seeds "$seeds" --name ours --log csv
said "±"
there entrants/digits/ours-s1.{safetensors,json,dynamics.jsonl,training.html,log.csv} entrants/digits/ours-s2.safetensors
head -n 1 entrants/digits/ours-s1.log.csv | grep -q "batch/loss" || wrong "the table has no batch/loss"
grep -q "TRADES with smoothed labels\|ours:Smoothed" entrants/digits/ours-s1.training.html || wrong "the page does not say the objective"
grep -q '"smoothing": 0.1' entrants/digits/ours-s1.json || wrong "the card does not have the setting"

step "The same command again trains nothing"
cksum entrants/digits/*.safetensors > "$home/before"
typed 0 "${train[@]}" --seeds "$seeds" --name ours --log csv
cksum entrants/digits/*.safetensors | diff "$home/before" - || wrong "the weights have changed"

step "A longer training is cut off (SIGTERM), goes on with the same command, and ends as one that was not cut off"
many=40
long=(harness train --suite digits --recipe recipes/ours.toml --epochs "$many" "${few[@]}" --log csv)
touch "$home/err"
"${long[@]}" --name long > "$home/out" 2> "$home/err" &
pid=$!
until grep -q "^epoch 1/$many" "$home/err" || ! kill -0 "$pid"; do sleep 0.1; done
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
cat "$home/err"
[ "$status" -eq 143 ] || wrong "exit status $status in place of 143"
gone entrants/digits/long.safetensors
typed 0 "${long[@]}" --name long
said "epoch $many"
there entrants/digits/long.safetensors
typed 0 "${long[@]}" --name whole
cmp entrants/digits/long.safetensors entrants/digits/whole.safetensors || wrong "the weights differ"
[ "$(cut -d , -f 1 entrants/digits/long.log.csv | sort | uniq -d | wc -l)" -le "$many" ] || wrong "steps are there twice"

step "Seeds share a row of the board: mean and standard deviation"
typed 0 harness run --suite digits --entrants "$entrants" "${small[@]}"
page=$(tail -n 1 "$home/out")
there "$page"
grep -q "${#seeds} seeds\|$(tr -cd , <<< "$seeds," | wc -c) seeds" "$page" || wrong "the board does not say how many seeds"
grep -q "±" "$page" || wrong "the board has no standard deviation"

step "As that one was trained, once more under another name"
typed 0 harness train --suite digits --recipe-of ours-s1 --name again
cmp entrants/digits/ours-s1.safetensors entrants/digits/again.safetensors || wrong "the weights differ"
typed 2 "${train[@]}" --seed 5 --name again
said "--force"

step "Which samples does it need? What the experiment would do, then a small one"
removal=(harness experiment removal --suite digits --recipe recipes/ours.toml --arms none,high-energy --fractions 0.1 --epochs 1
  --train-limit 300 --measures standard,autoattack --limit 8 --workers 0)
typed 0 "${removal[@]}" --dry-run
said "high-energy"
gone runs/experiments
typed 0 "${removal[@]}"
said "high-energy" "none"
there runs/experiments/removal-digits/experiment.json runs/experiments/removal-digits/*.html

if whole; then
  step "Ours against TRADES, over seeds, on the same images"
  typed 0 harness experiment seeds --suite digits --recipes recipes/ours.toml,trades --epochs 5 --seeds 1,2 \
    --measures standard,autoattack --limit 50
  there runs/experiments/seeds-digits/experiment.json
fi
