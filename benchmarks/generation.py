"""Drawing images with the harness beside a plain loop: python benchmarks/generation.py [--help].

The plain loop is written here as published code has it: for each batch, of one class, it fits the class's principal
components anew (a full singular value decomposition), then takes SGLD steps with a batch's own random numbers, and keeps
the images of every step until all are done. The harness fits each class once for a data set, takes draws of all classes
together, and keeps the last image. Both draw as many images of each class, with one preset, end to end from training images
to uint8 images; loading the data and the network is not counted.

The harness runs twice: with an empty folder of fits, and with the fits in place, as any run but a data set's first finds
them. The mean energies of the results are printed side by side: they agree within their standard errors.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

import zoo
from harness.data import datasets
from harness.data.images import ImageSet
from harness.features.digits import as_bytes
from harness.measures import PRESETS, Generation
from harness.sampling.descent import Descend
from harness.sampling.fits import Fits
from harness.sampling.samplers import SGLD
from harness.sampling.starts import PCAStart
from harness.sampling.training_images import TrainingImages
from harness.suites.suite import SUITES


def plain(model: nn.Module, train: ImageSet, preset: Generation, batch: int, device: torch.device) -> torch.Tensor:
    """Images (N, C, H, W) uint8 of every class in turn."""
    start, sampler = preset.start, preset.sampler
    assert isinstance(start, PCAStart)
    assert isinstance(sampler, SGLD)
    torch.manual_seed(0)
    done, kept = [], []
    each = preset.images // len(train.classes)
    for klass in range(len(train.classes)):
        for first in range(0, each, batch):
            n = min(batch, each - first)
            images = train.examples(0, len(train)).x[train.labels == klass].flatten(1)
            mean = images.mean(0)
            _, singular, right = torch.linalg.svd(images - mean, full_matrices=False)
            deviations = singular / (len(images) - 1) ** 0.5
            share = (deviations**2).cumsum(0) / (deviations**2).sum()
            k = int((share < start.variance).sum()) + 1
            drawn = mean + (torch.randn(n, k) * deviations[:k] * (start.tau or 0.0)) @ right[:k]
            x = drawn.view(n, *train.shape).clamp(0, 1).to(device)
            y = torch.full((n,), klass, device=device)
            velocity, steps = torch.zeros_like(x), []
            for _ in range(sampler.steps):
                x = x.detach().requires_grad_()
                energy = -model(x)[torch.arange(n), y].sum()
                (gradient,) = torch.autograd.grad(energy, x)
                velocity = sampler.momentum * velocity - sampler.eta / 2 * gradient
                x = (x.detach() + velocity + sampler.noise * torch.randn_like(x)).clamp(0, 1)
                steps.append(x.cpu().clone())
            kept.append(torch.stack(steps))
            done.append(x)
    return as_bytes(torch.cat(done))


def ours(model: nn.Module, train: ImageSet, preset: Generation, fits: Path, device: torch.device) -> torch.Tensor:
    """Images (N, C, H, W) uint8, draw d of class d mod K."""
    training = TrainingImages(train, Fits(fits))
    draws = torch.arange(preset.images)
    y = draws % training.classes
    x = preset.start(training, y, draws, 0).clamp(0, 1).to(device)
    descend = Descend(preset.objective, preset.sampler)
    done = [
        descend(model, *(part.to(device) for part in parts), 0).x
        for parts in zip(*(t.split(preset.batch_size) for t in (x, y, draws)), strict=True)
    ]
    return as_bytes(torch.cat(done))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="digits")
    parser.add_argument("--dataset")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--own", type=Path, help="folder of own entrants, besides the shipped ones")
    parser.add_argument("--entrant", default="trades")
    parser.add_argument("--preset", default="short", choices=[*PRESETS])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--steps", type=int, help="default: the preset's")
    parser.add_argument("--batch-size", type=int, default=10, help="of the plain loop; the harness has its preset's")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    device, suite = torch.device(chosen.device), SUITES[chosen.suite]
    suite = suite.on(chosen.dataset) if chosen.dataset else suite
    preset = replace(PRESETS[chosen.preset], images=chosen.images)
    if chosen.steps is not None:
        preset = replace(preset, sampler=replace(preset.sampler, steps=chosen.steps))  # type: ignore[type-var]
    folders = (chosen.own,) if chosen.own else ()
    entrant = zoo.find(chosen.entrant, suite.domain, model_dir=Path("models"), own_folders=folders)
    model = entrant.load().to(device)
    train = datasets.load(
        suite.loaded_from, "train", data_dir=chosen.data_dir, shape=suite.shape, classes=suite.classes
    )
    print(f"torch {torch.__version__}, {chosen}")
    with tempfile.TemporaryDirectory() as folder:
        seconds, images = {}, {}
        model(train.examples(0, 2).x.to(device))
        for name in ("plain", "harness, nothing fitted", "harness"):
            begun = time.perf_counter()
            if name == "plain":
                images[name] = plain(model, train, preset, chosen.batch_size, device)
            else:
                images[name] = ours(model, train, preset, Path(folder), device)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds[name] = time.perf_counter() - begun
    each = preset.images // suite.classes
    labels = {"plain": torch.arange(suite.classes).repeat_interleave(each)}
    for name, found in images.items():
        y = labels.get(name, torch.arange(preset.images) % suite.classes)
        with torch.no_grad():
            parts = [model(part.float() / 255) for part in found.split(250)]
        energy = -torch.cat(parts).cpu()[torch.arange(len(y)), y]
        error = energy.std() / len(energy) ** 0.5
        print(
            f"{name:24} {seconds[name]:8.2f} s  {len(found) / seconds[name]:8.1f} images/s"
            f"  {seconds['plain'] / seconds[name]:6.2f}x  mean E(x,y) {energy.mean():.3f} +- {error:.3f}"
        )


if __name__ == "__main__":
    main()
