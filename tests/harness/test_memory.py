"""Batches that fit: the same logits and gradients in any number of batches, and one step down when memory runs out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.classifier import memory
from harness.classifier.memory import Fitted, bytes_of_one, fitted, fitting_size
from harness.data.images import Examples
from harness.measures import Energies, Smoothness
from harness.threat import ThreatModel


def network(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 15, 10))
    return nn.Sequential(*layers).to(dtype).requires_grad_(False).eval()


class Hungry(nn.Module):
    """A classifier that runs out of memory where a batch holds more than `most` images."""

    def __init__(self, model: nn.Module, most: int) -> None:
        super().__init__()
        self.model, self.most, self.sizes = model, most, []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.model(x)


def slope(model: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.clone().requires_grad_()
    logits = model(x)
    (gradient,) = torch.autograd.grad(logits.logsumexp(1).sum(), x)
    return logits.detach(), gradient


@pytest.mark.parametrize("size", [1, 4, 10, 100])
def test_logits_and_gradients_do_not_depend_on_the_batches(size: int) -> None:
    model, x = network(), torch.rand(10, 3, 7, 5, dtype=torch.float64)
    for found, expected in zip(slope(Fitted(model, size), x), slope(model, x), strict=True):
        torch.testing.assert_close(found, expected)
    with torch.no_grad():
        torch.testing.assert_close(Fitted(model, size)(x), model(x))


def test_memory_that_runs_out_lowers_the_batches_once() -> None:
    x = torch.rand(10, 3, 7, 5, dtype=torch.float64)
    model = Fitted(Hungry(network(), most=3), 1000)
    for found, expected in zip(slope(model, x), slope(network(), x), strict=True):
        torch.testing.assert_close(found, expected)
    assert (model.lowered_from, model.size) == (10, 2)
    too_small = Fitted(Hungry(network(), most=1), 1000)
    with pytest.raises(torch.OutOfMemoryError):
        too_small(x)


def test_memory_that_runs_out_in_the_backward_pass_lowers_the_batches_too() -> None:
    class Backward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            if len(gradient) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return gradient

    class HungryBackwards(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return network()(Backward.apply(x))

    x = torch.rand(10, 3, 7, 5, dtype=torch.float64)
    model = Fitted(HungryBackwards(), 1000)
    torch.testing.assert_close(slope(model, x)[1], slope(network(), x)[1])
    assert model.lowered_from == 10


def test_logits_without_a_differentiable_path_have_zero_gradients() -> None:
    x = torch.rand(4, 3, 3, 3)
    for threshold in (lambda x: (x > 0.5).float().flatten(1), lambda x: ((x > 0.5).float() + 0 * x).flatten(1)):
        assert not slope(Fitted(_Callable(threshold), 10), x)[1].any()


class _Callable(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def test_an_empty_batch_has_no_logits() -> None:
    assert Fitted(network(), 3)(torch.rand(0, 3, 7, 5, dtype=torch.float64)).shape == (0, 10)


def test_the_size_follows_from_what_one_image_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = network(), torch.rand(2, 3, 7, 5, dtype=torch.float64)
    one = bytes_of_one(model, x[:1])
    # the image, the output of the convolution once more behind the rectifier, the logits; nothing of the weights
    assert 8 * (105 + 120 + 10) <= one <= 8 * (2 * 105 + 3 * 120 + 10)
    monkeypatch.setattr(memory, "CPU_BYTES", 20 * one)
    assert fitting_size(model, x) == 10
    monkeypatch.setattr(memory, "CPU_BYTES", 1)
    assert fitted(model, x).size == 1


@pytest.mark.parametrize("measure", [Energies(), Smoothness()], ids=lambda measure: measure.name)
def test_a_measure_finds_the_same_in_batches_of_any_size_and_tells_of_a_lowered_one(
    measure: Energies | Smoothness, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network()

    class Wide(nn.Module):
        """float64 inside: then no step of sign(gradient) turns on a rounding of the batch's kernels."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return model(x.double()).float()

    x = torch.rand(9, 3, 7, 5, generator=torch.Generator().manual_seed(1))
    examples, threat = Examples(x, torch.arange(9)), ThreatModel("Linf", 0.05)
    whole = measure(Wide(), examples, threat)
    assert whole.notes == ()
    lowered = measure(Hungry(Wide(), most=4), examples, threat)
    assert [note.code for note in lowered.notes] == ["batch-lowered"]
    assert "ran out with batches of 9 images: measured in batches of 2" in lowered.notes[0].message
    monkeypatch.setattr(memory, "CPU_BYTES", 2 * 4 * bytes_of_one(Wide(), x[:1]))
    in_fours = Hungry(Wide(), most=4)
    small = measure(in_fours, examples, threat)
    assert (small.notes, max(in_fours.sizes)) == ((), 4)
    for result in (lowered, small):
        assert set(result.arrays) == set(whole.arrays)
        for name, array in whole.arrays.items():
            expected = torch.from_numpy(array)
            torch.testing.assert_close(torch.from_numpy(result.arrays[name]), expected, rtol=1e-4, atol=1e-5)
