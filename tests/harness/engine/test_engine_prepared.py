"""The network that a search passes: the same function, the same numbers in any company, and a note where that fails."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from harness.attacks.engine.engine import Engine
from harness.classifier.folding import Folded, folded
from harness.classifier.precision import Precise
from harness.classifier.prepared import FOLDING_TOLERANCE, Prepared, chosen_search, plain, prepare
from harness.errors import BadInput
from harness.threat import ThreatModel
from zoo.architectures import build

PLACE = "the network's logits depend on the place of an image in its batch"


def settled(network: nn.Module, shape: tuple[int, int, int]) -> nn.Module:
    """In eval mode and frozen, with the statistics of noise."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for _ in range(5):
            network.train()(torch.rand(16, *shape))
    return network.eval().requires_grad_(False)


def convolutional(channels: int = 3) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10),
        )  # fmt: skip
        return settled(made, (channels, 16, 16))


def images(n: int, channels: int = 3, side: int = 16) -> Tensor:
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(2))


def slopes(logits: Tensor, rows: slice) -> Tensor:
    """Weights of which no two rows have the same."""
    return (logits * (1 + torch.arange(rows.start, rows.stop).unsqueeze(1) % 7)).cos()


def by_autograd(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    leaf = x.clone().requires_grad_()
    logits = model(leaf)
    weights = slopes(logits.detach(), slice(0, len(x)))
    (gradient,) = torch.autograd.grad(logits, leaf, weights)
    return logits.detach(), gradient


@pytest.mark.parametrize("channels", [1, 3])
def test_batchnorm_is_folded_and_logits_and_gradients_stay_those_of_the_network(channels: int) -> None:
    model, x = convolutional(channels), images(50, channels)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    made = prepare(model, x)
    assert isinstance(made.network, Folded)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in made.network.network.children())
    assert made.notes == ()
    logits, gradient = made.gradient(x, slopes)
    wanted, wanted_gradient = by_autograd(model, x)
    scale = float(wanted.std())
    assert (logits - wanted).abs().max() < FOLDING_TOLERANCE * scale
    assert (made.logits(x) - wanted).abs().max() < FOLDING_TOLERANCE * scale
    assert (gradient - wanted_gradient).abs().max() < 1e-4 * float(wanted_gradient.abs().max())
    assert (made.passes.forward, made.passes.gradient) == (50, 50)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training


@pytest.mark.parametrize("architecture", ["resnet-8", "digits-cnn"])
def test_shipped_architectures_are_prepared_without_a_note(architecture: str) -> None:
    shape = (1, 8, 8) if architecture == "digits-cnn" else (3, 32, 32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = settled(build(architecture, 10, shape), shape)
    x = torch.rand(6, *shape, generator=torch.Generator().manual_seed(0))
    made = prepare(Precise(model, "fp32"), x)
    assert made.notes == ()
    logits, gradient = made.gradient(x, slopes)
    wanted, wanted_gradient = by_autograd(model, x)
    assert (logits - wanted).abs().max() < FOLDING_TOLERANCE * float(wanted.std())
    assert (gradient - wanted_gradient).norm() < 1e-3 * wanted_gradient.norm()


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(3, 5, 3), nn.Conv2d(1, 5, 3, padding=1), nn.Conv2d(3, 4, 5, stride=2, padding=2),
        nn.Conv2d(2, 4, (3, 2), stride=(3, 2), padding=(0, 1)), nn.Conv2d(3, 4, 3, dilation=2), nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(3, 4, 3, padding="same"), nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.Conv2d(3, 4, 1, stride=4),
    ],
    ids=str,
)  # fmt: skip
def test_gradients_of_first_convolutions_of_every_form_are_autograds(convolution: nn.Conv2d) -> None:
    model = nn.Sequential(convolution, nn.Tanh(), nn.Flatten()).double().requires_grad_(False)
    x = torch.rand(4, convolution.in_channels, 11, 10, dtype=torch.float64)
    made = folded(model, for_search=True)
    found, gradient = by_autograd(model if made is None else made, x)
    wanted, wanted_gradient = by_autograd(model, x)
    assert (found - wanted).abs().max() < 1e-12
    assert (gradient - wanted_gradient).abs().max() < 1e-12


def test_folding_that_loses_digits_is_refused_and_said() -> None:
    model = convolutional()
    model[1].running_mean += 1e5  # the bias of the convolution before takes it away again, in float32
    model[0].bias = nn.Parameter(torch.full((8,), 1e5), requires_grad=False)
    made = prepare(model, images(8))
    assert made.network is model
    (note,) = made.notes
    assert "logits would differ by more than rounding" in note
    _, report = Engine(steps=2, queries=2)(model, images(8), model(images(8)).argmax(1), ThreatModel("Linf", 1e-4))
    assert note in report.notes


def test_a_classifier_whose_forward_depends_on_values_is_searched_as_it_is() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = convolutional()

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x) if x.sum() > 0 else self.network(-x)

    model = Branching()
    assert prepare(model, images(4)).network is model


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_row_has_the_same_logits_and_gradient_bit_for_bit_in_any_company(channels: int, size: int) -> None:
    model, x = convolutional(channels), images(3 * size + 5, channels)
    made = prepare(model, x)
    made = Prepared(made.network, max(size // made.grain, 1) * made.grain, made.grain, channels_last=made.channels_last)
    logits, gradient = made.gradient(x, slopes)
    forward = made.logits(x)
    for n in (1, 2, 7, size - 1, size, size + 1, 2 * size + 3):
        start = (11 * n) % (len(x) - n + 1)
        rows = slice(start, start + n)
        shift = 1 + torch.arange(start, start + n).unsqueeze(1) % 7
        found, found_gradient = made.gradient(x[rows], lambda z, part, s=shift: (z * s[part]).cos())
        assert torch.equal(found, logits[rows])
        assert torch.equal(found_gradient, gradient[rows])
        assert torch.equal(made.logits(x[rows]), forward[rows])


def test_a_classifier_that_depends_on_the_place_in_the_batch_or_on_chance_is_noted() -> None:
    class Placed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, :10] + torch.linspace(0, 1, len(x)).unsqueeze(1)

    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, :10] + 0.1 * torch.randn(len(x), 10)

    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            flat = x.flatten(1)[:, :10]
            return flat + flat.cumsum(0)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        for model in (Placed(), Noisy(), Mean()):
            assert PLACE in prepare(model, images(20)).notes
            assert PLACE in plain(model, images(20)).notes
    assert PLACE not in prepare(convolutional(), images(20)).notes


def test_logits_without_a_path_to_the_images_have_gradients_of_zero() -> None:
    class Steps(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.flatten(1)[:, :10] * 8).detach().round()

    model, x = Steps(), images(6)
    logits, gradient = prepare(model, x).gradient(x, slopes)
    assert torch.equal(logits, model(x))
    assert torch.equal(gradient, torch.zeros_like(x))
    y = logits.argmax(1)
    found, _ = Engine(steps=3, queries=200)(model, x, y, ThreatModel("Linf", 0.3))
    assert not found.robust.any(), "Square needs no gradient"


def test_bf16_casts_the_network_where_it_can_and_falls_back_to_autocast() -> None:
    class Insists(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = convolutional()

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x.float())

    x = images(12)
    for model, by_autocast in ((convolutional(), False), (Insists(), True)):
        made, wanted = prepare(model, x, "bf16"), model(x)
        assert (made.search, made.by_autocast) == ("bf16", by_autocast)
        assert all(p.dtype == torch.float32 for p in model.parameters())
        logits, gradient = made.gradient(x, slopes)
        assert logits.dtype == gradient.dtype == torch.float32
        assert not torch.equal(logits, wanted), "it ran in bfloat16"
        assert (logits - wanted).abs().max() < 0.2 * float(wanted.std())
        assert gradient.isfinite().all()


def test_what_a_bf16_search_finds_counts_by_the_float32_network_alone() -> None:
    model, x = convolutional(), images(24)
    y, threat = model(x).argmax(1), ThreatModel("Linf", 0.02)
    found, _ = Engine(steps=10, queries=30, search="bf16")(model, x, y, threat)
    broken = ~found.robust
    assert broken.any()
    assert (model(found.x_adv).argmax(1) != y)[broken].all()
    assert threat.verify(x, found.x_adv).legal.all()


def test_the_precision_of_a_search_is_one_of_three_and_tf32_needs_a_gpu() -> None:
    cpu = torch.device("cpu")
    assert chosen_search(None, cpu) == "fp32"
    assert chosen_search("bf16", cpu) == "bf16"
    with pytest.raises(BadInput, match=r"expected a GPU with TF32 for --search tf32, got none; use --search fp32"):
        chosen_search("tf32", cpu)
    with pytest.raises(BadInput, match=r"expected --search fp32, tf32, bf16, got 'half'; choose one"):
        chosen_search("half", cpu)


class Normalised(nn.Module):
    """Names a buffer and a parameter in its forward, and BatchNorm follows a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((3, 1, 1), 0.5))
        self.scale = nn.Parameter(torch.full((3, 1, 1), 4.0))
        self.network = convolutional()

    def forward(self, x: Tensor) -> Tensor:
        return self.network((x - self.mean) * self.scale)


def test_a_network_that_normalises_by_itself_is_folded() -> None:
    model = Normalised().eval().requires_grad_(False)
    made, x = prepare(model, images(4)), images(20)
    assert isinstance(made.network, Folded)
    assert len(made.network) == 2
    assert (made.logits(x) - model(x)).abs().max() < FOLDING_TOLERANCE * float(model(x).std())


def test_a_forward_that_refuses_what_is_no_tensor_is_searched_as_it_is_and_that_is_said() -> None:
    class Strict(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = convolutional()

        def forward(self, x: Tensor) -> Tensor:
            if not isinstance(x, Tensor):
                raise ValueError("images, please")
            return self.network(x)

    model = Strict().eval().requires_grad_(False)
    made = prepare(model, images(4))
    assert made.network is model
    assert made.notes == ("BatchNorm was not folded: the network's forward cannot be traced",)


def test_a_network_judged_in_bfloat16_is_searched_as_it_is_judged() -> None:
    model = Precise(convolutional(), "bf16")
    x = images(6)
    outcome, _ = Engine(steps=2, queries=2)(model, x, model(x).argmax(1), ThreatModel("Linf", 1e-4))
    assert (outcome.stage != -1).all()


def test_logits_that_a_network_writes_into_a_buffer_of_its_own_are_kept() -> None:
    class Overwriting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.kept = convolutional(), torch.empty(4096, 10)

        def forward(self, x: Tensor) -> Tensor:
            if torch.is_grad_enabled():
                return self.network(x)
            return torch.add(self.network(x), 0, out=self.kept[: len(x)])

    model = Overwriting().eval().requires_grad_(False)
    x = images(700)
    assert torch.allclose(prepare(model, x).logits(x), model.network(x), atol=1e-4)


def test_an_image_too_narrow_for_squares_tiles_is_attacked_all_the_same() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(nn.Flatten(), nn.Linear(150, 4)).requires_grad_(False)
        x = torch.rand(3, 1, 30, 5)
    outcome, _ = Engine(steps=2, queries=5)(model, x, model(x).argmax(1), ThreatModel("L2", 1e-6))
    assert outcome.robust.all()
    assert (outcome.reached == 4).all()
