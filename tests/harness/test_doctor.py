"""Faults that are put into entrants on purpose are found, each by its own name, and nothing else is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import harness
from harness.data.images import ImageSet
from harness.doctor.examination import examine
from harness.doctor.finding import Diagnosis, Level
from harness.doctor.subject import Subject
from harness.run.inputs import suite_images
from harness.suites.suite import SUITES
from zoo.checkpoints import SHIPPED
from zoo.entrant import Card, freeze

DIGITS = sorted(path.stem for path in (SHIPPED / "digits").glob("*.json"))
ORDER = torch.tensor([3, 0, 1, 2, 7, 4, 5, 6, 9, 8])


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A shipped network, which is robust."""
    return harness.load("trades")


class Around(nn.Module):
    """A network between what is done to its images and to its logits."""

    def __init__(
        self,
        network: nn.Module,
        before: Callable[[Tensor], Tensor] = lambda x: x,
        after: Callable[[Tensor], Tensor] = lambda z: z,
    ) -> None:
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.network(self.before(x)))


class Rounded(torch.autograd.Function):
    """Gradients that lead elsewhere: those of other pixels."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient.flip(2, 3).roll(3, 2)


def named(found: Diagnosis) -> dict[str, str]:
    return {finding.check: finding.level.value for finding in (*found.faults, *found.warnings)}


def batch_wise(x: Tensor) -> Tensor:
    return (x - x.mean()) / x.std() * 0.36 + 0.3


def write_over(x: Tensor) -> Tensor:
    return x.sub_(0.1).add_(0.05)


def nan_slope(z: Tensor) -> Tensor:
    return z + (z - z).square().sum(1, keepdim=True).sqrt()


SEEDED: dict[str, tuple[Callable[[nn.Module], nn.Module], set[str]]] = {
    "expects normalised images": (lambda n: Around(n, lambda x: 0.3081 * x + 0.1307), {"normalisation"}),
    "expects pixels from 0 to 255": (lambda n: Around(n, lambda x: x / 255), {"pixel-range"}),
    "expects pixels from -1 to 1": (lambda n: Around(n, lambda x: (x + 1) / 2), {"normalisation"}),
    "expects dark for bright": (lambda n: Around(n, lambda x: 1 - x), {"pixel-range"}),
    "dropout stays active": (lambda n: Around(n, after=lambda z: F.dropout(z, 0.1)), {"train-mode"}),
    "BatchNorm takes the batch's statistics": (
        lambda n: nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), Around(n, lambda x: 0.36 * x + 0.3)),
        {"train-mode"},
    ),
    "gives probabilities": (lambda n: Around(n, after=lambda z: z.softmax(1)), {"probabilities"}),
    "gives a multiple of probabilities": (lambda n: Around(n, after=lambda z: 20 * z.softmax(1)), {"probabilities"}),
    "gives log-probabilities": (lambda n: Around(n, after=lambda z: z.log_softmax(1)), {"log-probabilities"}),
    "gives sigmoids": (lambda n: Around(n, after=lambda z: z.sigmoid()), {"probabilities"}),
    "normalises by the batch": (lambda n: Around(n, batch_wise), {"batch-dependence"}),
    "adds noise": (lambda n: Around(n, lambda x: x + 0.05 * torch.randn_like(x)), {"randomness"}),
    "rounds its logits": (lambda n: Around(n, after=lambda z: z.round(decimals=1)), {"gradients"}),
    "detaches its logits": (lambda n: Around(n, after=lambda z: z.detach()), {"gradients"}),
    "has gradients that are NaN": (lambda n: Around(n, after=nan_slope), {"gradients"}),
    "has gradients that lead elsewhere": (lambda n: Around(n, Rounded.apply), {"gradient-step"}),
    "multiplies its logits by 100": (lambda n: Around(n, after=lambda z: 100 * z), {"logit-scale"}),
    "divides its logits by 100": (lambda n: Around(n, after=lambda z: z / 100), {"logit-scale"}),
    "computes in half precision": (lambda n: Around(n, after=lambda z: z.half().float()), {"dtype"}),
    "gives half-precision logits": (lambda n: Around(n, after=lambda z: z.half()), {"dtype"}),
    "gives double-precision logits": (lambda n: Around(n, after=lambda z: z.double()), {"dtype"}),
    "has eleven logits": (lambda n: Around(n, after=lambda z: F.pad(z, (0, 1), value=-9.0)), {"classes"}),
    "has nine logits": (lambda n: Around(n, after=lambda z: z[:, :9]), {"classes"}),
    "has another order of classes": (lambda n: Around(n, after=lambda z: z[:, ORDER]), {"labels-permuted"}),
    "counts classes from one": (lambda n: Around(n, after=lambda z: z.roll(1, 1)), {"labels-permuted"}),
    "says one class always": (lambda n: Around(n, after=lambda z: 0 * z + torch.arange(10.0)), {"chance-level"}),
    "expects upright for upside down": (lambda n: Around(n, lambda x: x.flip(2)), {"image-order"}),
    "expects columns for rows": (lambda n: Around(n, lambda x: x.transpose(2, 3)), {"image-order"}),
    "expects other images": (lambda n: Around(n, lambda x: x.view(-1, 1, 8, 8)[:, :, ::2, ::2]), {"images"}),
    "changes its images": (lambda n: Around(n, write_over), {"images"}),
    "gives a tuple": (lambda n: Around(n, after=lambda z: (z, z)), {"output"}),  # type: ignore[arg-type, return-value]
    "gives maps": (lambda n: Around(n, after=lambda z: z[:, :, None, None]), {"output"}),
    "gives NaN": (lambda n: Around(n, after=lambda z: z / 0 * 0), {"output"}),
}


@pytest.mark.parametrize("fault", SEEDED)
def test_an_entrant_with_a_fault_is_told_that_fault_alone(fault: str, trained: nn.Module) -> None:
    broken, expected = SEEDED[fault]
    found = harness.doctor(broken(trained), "digits", name="mine")
    assert set(named(found)) == expected, str(found)
    for finding in (*found.faults, *found.warnings):
        assert finding.seen
        assert finding.meaning
        assert finding.advice
        assert "\n" not in f"{finding.seen}{finding.meaning}{finding.advice}"


@pytest.mark.parametrize("name", DIGITS)
def test_a_shipped_entrant_is_fine(name: str) -> None:
    found = harness.doctor(name, "digits")
    assert named(found) == {}, str(found)
    assert found.status == 0


def test_two_faults_are_both_told(trained: nn.Module) -> None:
    both = Around(trained, lambda x: 1 - x, lambda z: z.log_softmax(1))
    assert set(named(harness.doctor(both, "digits"))) == {"pixel-range", "log-probabilities"}
    both = Around(trained, lambda x: (x + 1) / 2, lambda z: z[:, ORDER])
    assert set(named(harness.doctor(both, "digits"))) == {"normalisation", "labels-permuted"}


def test_faults_that_hide_each_other_are_both_told(trained: nn.Module) -> None:
    both = Around(trained, lambda x: x / 255, lambda z: z[:, ORDER])
    assert set(named(harness.doctor(both, "digits"))) == {"pixel-range", "labels-permuted"}


def test_numbers_of_a_finding_are_those_of_the_images(trained: nn.Module) -> None:
    examples = suite_images(SUITES["digits"], data_dir=Path("data"), download=False).examples(0, 200)
    with torch.no_grad():
        given = (trained(examples.x / 255).argmax(1) == examples.y).float().mean()
        meant = (trained(examples.x).argmax(1) == examples.y).float().mean()
    (found,) = harness.doctor(Around(trained, lambda x: x / 255), "digits").faults
    assert found.numbers == pytest.approx({"as_given": float(given), "changed": float(meant)}, abs=1e-6)


def test_the_same_entrant_has_the_same_findings_each_time(trained: nn.Module) -> None:
    noisy = Around(trained, lambda x: x + 0.05 * torch.randn_like(x))
    state = torch.random.get_rng_state()
    first, second = (harness.doctor(noisy, "digits", name="noisy") for _ in range(2))
    assert first == second
    assert torch.equal(torch.random.get_rng_state(), state), "torch's own random numbers go on where they were"


def test_a_network_in_train_mode_is_judged_in_eval_mode_and_stays_as_it_was() -> None:
    network = nn.Sequential(harness.load("sat"), nn.Dropout(0.5)).train()
    found = harness.doctor(network, "digits")
    assert named(found) == {}
    assert "given in train mode" in str(found)
    assert network.training
    assert network[1].training


def test_images_and_labels_out_of_step_are_told(trained: nn.Module) -> None:
    suite = SUITES["digits"]
    images = suite_images(suite, data_dir=Path("data"), download=False)
    moved = replace(images, labels=images.labels.roll(1), digest="")
    one = Subject("mine", Card("mine", "memory"), freeze(trained), suite, moved, torch.device("cpu"))
    assert {f.check for f in examine(one) if f.counts} == {"misaligned"}


def colours(labels: Tensor, x: Tensor) -> Subject:
    """Images of three classes by their colour, and a network that knows them, as for a suite of three classes."""
    suite = replace(SUITES["cifar10"], name="colours", classes=3, shape=(3, 8, 8), examples=None, dataset="colours")
    images = ImageSet("colours", "test", x, labels, ("r", "g", "b"), "made here")
    network = Around(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), after=lambda z: 20 * z - 5)
    return Subject("mine", Card("mine", "memory"), freeze(network), suite, images, torch.device("cpu"))


def coloured(n: int = 200) -> tuple[Tensor, Tensor]:
    labels = torch.arange(n) % 3
    x = 0.2 * torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    x[torch.arange(n), labels] += 0.5 * torch.rand(n, 1, 1, generator=torch.Generator().manual_seed(1))
    return x, labels


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda x: x, set()),
        (lambda x: x.permute(0, 2, 3, 1).reshape(x.shape), {"image-order"}),
    ],
)
def test_colours_in_another_layout_are_told(change: Callable[[Tensor], Tensor], expected: set[str]) -> None:
    x, labels = coloured()
    one = colours(labels, change(x).contiguous())
    assert {f.check for f in examine(one) if f.counts} == expected


def test_channels_in_reverse_order_are_told_as_the_renaming_or_the_order_that_they_are() -> None:
    x, labels = coloured()
    one = colours(labels, x.flip(1))
    found = {f.check for f in examine(one) if f.level is Level.FAULT}
    assert found in ({"image-order"}, {"labels-permuted"})


def test_statistics_of_batch_norm_that_were_never_updated_are_told(trained: nn.Module) -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm, self.network = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), trained
            self.first.weight.data.fill_(-40.0)
            self.first.bias.data.fill_(90.0)
            self.norm.weight.data.fill_(-0.36)
            self.norm.bias.data.fill_(0.3)

        def forward(self, x: Tensor) -> Tensor:
            return self.network(self.norm(self.first(x)))

    assert set(named(harness.doctor(Late(), "digits"))) == {"batch-norm"}


def test_the_verb_prints_what_python_gives_and_its_status_tells_faults(
    harness_here: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = harness_here("doctor", "--suite", "digits", "--entrant", "sat")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sat on digits: nothing found (200 images, ")
    (Path.cwd() / "mine.py").write_text(
        "import harness, torch\n\n\ndef soft():\n    return torch.nn.Sequential(harness.load('sat'), torch.nn.Softmax(1))\n"
    )
    done = harness_here("doctor", "--suite", "digits", "--entrant", "python:mine:soft", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["status"]) == (1, 1)
    faults = [finding for finding in told["findings"] if finding["level"] == "fault"]
    assert [(finding["check"], finding["numbers"]["total"]) for finding in faults] == [("probabilities", 1.0)]


def test_what_was_taken_from_a_checkpoint_is_said_before_the_findings(harness_here) -> None:
    tensors = {f"module.net.{name}": value for name, value in harness.load("sat").state_dict().items()}
    torch.save({"epoch": 3, "model_state": tensors}, "mine.pt")
    asked = ("doctor", "--suite", "digits", "--entrant", "checkpoint:mine.pt@digits-cnn")
    told = harness_here(*asked).stdout.splitlines()
    assert told[1].startswith("loaded: tensors of 'model_state.module.net'")
    assert f"loaded: {json.loads(harness_here(*asked, '--json').stdout)['loading']}" == told[1]


@pytest.mark.parametrize("entrant", ["nobody", "checkpoint:none.pt@digits-cnn"])
def test_an_entrant_that_is_not_there_is_bad_input(
    entrant: str, harness_here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = harness_here("doctor", "--suite", "digits", "--entrant", entrant)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_every_check_has_its_row_in_the_guide() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
    for name in {check for _, names in SEEDED.values() for check in names} | {"misaligned", "batch-norm", "image-size"}:
        assert f"| `{name}` |" in text


def test_flags_of_a_run_tell_chance_and_another_order_of_classes() -> None:
    from harness.measures import signs

    labels = np.arange(200) % 10
    drawn = np.random.default_rng(0).integers(0, 10, 200)
    assert [flag.code for flag in signs.of_predictions(drawn, labels, 10)] == [signs.CHANCE]
    assert [flag.code for flag in signs.of_predictions(ORDER.numpy()[labels], labels, 10)] == [signs.PERMUTED]
    mostly = np.where(np.arange(200) % 4 == 0, drawn, labels)
    assert signs.of_predictions(mostly, labels, 10) == ()
    assert signs.of_predictions(drawn[:20], labels[:20], 10) == (), "too few to tell"


def test_a_run_warns_as_soon_as_it_can_and_its_record_keeps_the_flag(trained: nn.Module, tmp_path: Path) -> None:
    told: list[str] = []
    model = Around(trained, after=lambda z: z[:, ORDER].log_softmax(1))
    found = harness.judge(model, "digits", ["standard"], name="mine", progress=told.append, out=tmp_path)
    assert {flag.code for flag in found.measurement("standard").flags} == {"labels-permuted", "log-probabilities"}
    warnings = [line for line in told if line.startswith("harness: warning: mine: ")]
    assert len(warnings) == 2
    assert any("if classes are renamed" in line for line in warnings)


@pytest.mark.parametrize("size", [1, 200])
def test_an_entrant_that_fails_for_batches_of_one_size_alone_is_a_finding_and_no_crash(trained: nn.Module, size: int):
    def failing(x: Tensor) -> Tensor:
        if len(x) == size or (size > 8 and len(x) > 8):
            raise ValueError("expected another batch")
        return x

    found = harness.doctor(Around(trained, failing), "digits")
    assert found.status == 1
    assert "the entrant fails while it is looked at: ValueError: expected another batch" in str(found)
