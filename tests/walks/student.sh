#!/usr/bin/env bash
# A student with a checkpoint of a network trained elsewhere, in a container with keys of its own. Is it robust? More than others?
#   tests/walks/student.sh [part|whole]
source "$(dirname "${BASH_SOURCE[0]}")/steps.sh"
small=(--limit 8 --measures standard,autoattack --workers 0)
examples=8
at=digits/partial-8 site=digits/first-8
if whole; then
  small=()
  examples=200
  at=digits site=digits
fi

# what the student has: a training script's file, with the optimiser beside the network and a prefix before each name
python - << 'PYTHON'
import torch

import harness

network = harness.load("weat-adv", suite="digits")
tensors = {f"module.net.{name}": value for name, value in network.state_dict().items()}
torch.save({"epoch": 60, "best_acc": 0.97, "optimizer": {"lr": 0.05}, "model_state": tensors}, "best.pt")
PYTHON
mkdir models notebooks && mv best.pt models/

step "Is this the network that is meant, before hours are spent?"
typed 0 harness doctor --suite digits --entrant checkpoint:models/best.pt@digits-cnn
said "best on digits: nothing found" "loaded: tensors of 'model_state.module.net'" "10 logits an image" "of 200 images are right" "gradients"

step "The wrong architecture: which one is it?"
typed 2 harness run --suite digits --entrants checkpoint:models/best.pt@mnist-cnn "${small[@]}"
said "its tensors are those of digits-cnn: write checkpoint:models/best.pt@digits-cnn"
gone runs

step "Its robust accuracy, beside that of an entrant that ships, under the name that the paper will have"
typed 0 harness run --suite digits --entrants checkpoint:models/best.pt@digits-cnn "${small[@]}" --name ours-2026 \
  --title "How robust are ours?" --paper https://example.org/ours
said "ours-2026: tensors of 'model_state.module.net'" "accuracies in percent"
there "runs/results/$at/ours-2026.json" "runs/site/$site/ours-2026.html"
typed 0 harness run --suite digits --entrants standard "${small[@]}"
page=$(tail -n 1 "$home/out")
there "$(dirname "$page")/standard.html" "$(dirname "$page")/ours-2026.html"
grep -q "How robust are ours?" "$page" || wrong "the board does not have the title"
grep -q "https://example.org/ours" "$page" || wrong "the board does not have the address of the paper"

step "Names for several entrants at once are refused: whose would they be?"
typed 2 harness run --suite digits --entrants trades,sat "${small[@]}" --name ours-2026
said "harness: error: expected"

step "The same in Python, and example by example against the standard network"
cat > notebooks/judge.py << PYTHON
import torch

import harness

spec, options = "checkpoint:models/best.pt@digits-cnn", {"measures": ["standard", "autoattack"], "limit": $examples}
model = harness.load(spec, suite="digits")
assert isinstance(model, torch.nn.Module) and not model.training
ours = harness.judge(spec, suite="digits", **options)
again = harness.judge(torch.nn.Sequential(model), suite="digits", name="the module", **options)
theirs = harness.judge("standard", suite="digits", **options)
print("ours", ours.value("autoattack_accuracy"))
assert ours.value("autoattack_accuracy").value == again.value("autoattack_accuracy").value
assert ours.value("autoattack_accuracy").value > theirs.value("autoattack_accuracy").value
print(ours.to_frame().head())
print(harness.compare(ours, theirs))
PYTHON
typed 0 python notebooks/judge.py
said "ours 0." "n = $examples" "autoattack_accuracy" "standard"

step "As an entrant of the project: weights and a card in entrants/, called by its name, from a subfolder too"
mkdir -p entrants/digits
cp models/best.pt entrants/digits/ours.pt
cat > entrants/digits/ours.json << 'JSON'
{"name": "ours", "suite": "digits", "architecture": "digits-cnn", "title": "How robust are ours?", "licence": "MIT"}
JSON
cd notebooks
typed 0 harness list entrants --suite digits
said "ours" "../entrants/digits"
typed 0 harness run --suite digits --entrants ours --limit 8 --measures standard --workers 0 --out ../runs
said "ours" "8 (partial)"
there ../runs/results/digits/partial-8/ours.json

step "A slip in the card is told, with the key that is meant"
cd ..
sed -i.before 's/"architecture"/"architectur"/' entrants/digits/ours.json
typed 2 harness run --suite digits --entrants ours "${small[@]}"
said "architectur" "architecture"
mv entrants/digits/ours.json.before entrants/digits/ours.json

step "His own pictures, in folders by class"
python - << 'PYTHON'
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

digits = load_digits()
for number, (image, label) in enumerate(zip(digits.images, digits.target)):
    folder = Path("data/mine", "test" if number < 300 else "train", f"digit-{label}")
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray((image * 255 / 16).round().astype("uint8"), mode=None).save(folder / f"{number:04d}.png")
PYTHON
mkdir suites
echo 'dataset = "mine"
eps = 0.1' > suites/mine.toml
typed 2 harness doctor --suite suites/mine.toml --entrant ours
said "classes = 10" "shape = [1, 8, 8]"
echo 'classes = 10
shape = [1, 8, 8]' >> suites/mine.toml
typed 0 harness doctor --suite suites/mine.toml --entrant checkpoint:models/best.pt@digits-cnn
said "nothing found" "images are right"
typed 0 harness run --suite suites/mine.toml --entrants checkpoint:models/best.pt@digits-cnn "${small[@]}"
there "runs/results/${at/digits/mine}/best.json"
typed 0 harness verify runs/results/mine --entrants best --no-mark
said "best on mine" ": proved: at most"

if whole; then
  step "Softmax in the network by mistake: the doctor says so"
  cat > mine.py << 'PYTHON'
import torch

import harness


def network():
    return torch.nn.Sequential(harness.load("sat", suite="digits"), torch.nn.Softmax(dim=1))
PYTHON
  typed 1 harness doctor --suite digits --entrant python:mine:network
  said "probabilities"

  step "The line of the page proves his row"
  typed 0 harness verify runs/results/digits
  said "ours-2026 on digits: proved"
fi
