"""How well a classifier draws: images by descent of its energy from class-wise starts (Mirza et al. 2024), and their scores.

The unit of work is a draw, not a test example: draw d has the class d mod K and random numbers of its own, a function of
(seed, d, step), so that workers, shards and batches change nothing but the rounding of the network's sums. Starts come
from training images alone, whose fingerprint is part of every key; the scores of the starts themselves (0 steps) and of
held-out real images stand beside those of the results. FID errs high for few images, so the three are compared at one
number of images (`equal_n`): as many of the first draws, of their starts and of the held-out images, against the same
training images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from safetensors.numpy import save as save_arrays
from torch import nn

from harness.classifier.meter import meter
from harness.data.images import Examples, ImageSet
from harness.errors import BadInput
from harness.features.digits import as_bytes
from harness.features.extractor import extractor_for
from harness.features.scores import NAMES, QUANTITIES, Features, Scores
from harness.measures.intervals import mean
from harness.measures.material import Material
from harness.measures.measure import Cost, Measure, Note, ShardResult, Summary, flags_of
from harness.measures.sources import Sources
from harness.sampling.descent import Descend, marks_of
from harness.sampling.fits import Fits
from harness.sampling.gallery import write_gallery
from harness.sampling.objectives import JointEnergy, Objective, reference
from harness.sampling.samplers import SGLD, Sampler
from harness.sampling.starts import PCAStart, Start
from harness.sampling.training_images import TrainingImages
from harness.threat import ThreatModel
from leaderboards.board.labels import EQUAL_N, label
from leaderboards.records.files import write_atomically
from leaderboards.records.schema import Quantity, Value


def _evenly(size: int, n: int) -> np.ndarray:
    """n of the numbers 0 to size - 1, evenly apart: the first ones of a set that is sorted would be one class."""
    return np.arange(n) * size // max(1, n)


@dataclass(frozen=True)
class Generation(Measure):
    """FID, KID, Inception Score, precision, recall and nearest training images of drawn images; energies along the path."""

    name: ClassVar[str] = "generation"
    version: ClassVar[int] = 2
    heavy_arrays: ClassVar[frozenset[str]] = frozenset({"image", "start_image"})
    working_arrays: ClassVar[frozenset[str]] = frozenset({"features", "logits", "start_features", "start_logits"})
    exhibits: ClassVar[bool] = True
    seed: int = 0
    images: int = 1_000
    start: Start = field(default=PCAStart(variance=0.95, tau=0.7))
    objective: Objective = field(default=JointEnergy())
    sampler: Sampler = field(default=SGLD(eta=0.03, steps=50, noise=0.001))
    tolerance: float | None = None
    reference_images: int = 100
    batch_size: int = 250
    scores: Scores = field(default=Scores(kid_subset_size=200))
    preset: str = "short"
    material: Material | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name, least in (("images", 1), ("batch_size", 1), ("reference_images", 2)):
            if getattr(self, name) < least:
                raise BadInput(f"expected {name} of at least {least}, got {getattr(self, name)}; correct it")
        if self.tolerance is not None and not math.isfinite(self.tolerance):
            raise BadInput(f"expected a tolerance that is a finite number, got {self.tolerance}; correct it")

    @property
    def origin(self) -> str:
        """The preset that these settings are, or the name of the file that gave them; "" where only Python did."""
        named = PRESETS.get(self.preset)
        if named is None or replace(self, seed=named.seed, batch_size=named.batch_size) == named:
            return self.preset
        return ""

    def settings(self) -> dict[str, Any]:
        made = {
            "preset": self.origin,
            "images": self.images,
            "start": asdict(self.start),  # type: ignore[call-overload]
            "objective": asdict(self.objective),  # type: ignore[call-overload]
            "sampler": asdict(self.sampler),  # type: ignore[call-overload]
            "tolerance": self.tolerance,
            "reference_images": self.reference_images if self._descend.needs_reference else None,
            "batch_size": self.batch_size,
            "scores": asdict(self.scores),
        }
        return made | (self.material.settings() if self.material else {})

    def quantities(self) -> Mapping[str, Quantity]:
        steps = [
            f"{e}.step_{k}.mean" for k in marks_of(self.sampler.steps) for e in ("joint_energy", "marginal_energy")
        ]
        energies = {name: Quantity(title=label(name), unit="energy") for name in steps}
        counts = {
            "steps.mean": Quantity(title=label("steps.mean")),
            "steps.zero": Quantity(
                title=label("steps.zero"),
                unit="count",
                description="They are their starts: at rest from the beginning.",
            ),
        }
        return {**QUANTITIES, **energies, **counts}

    @property
    def _descend(self) -> Descend:
        return Descend(self.objective, self.sampler, self.tolerance)

    def bound(self, sources: Sources) -> Self:
        train, held_out = sources.train(), sources.held_out()
        if train.classes != held_out.classes:
            raise BadInput(
                f"expected the same classes in both splits, got {len(train.classes)} in {train.source} and"
                f" {len(held_out.classes)} in {held_out.source}; correct the data"
            )
        extractor, reason = extractor_for(train.name, train.shape, sources.inception_weights)
        return replace(self, material=Material(TrainingImages(train, Fits(sources.fits)), held_out, extractor, reason))

    def units(self, examples: int) -> int:
        return self.images

    def examples(self, images: ImageSet, start: int, stop: int) -> Examples:
        """Draws start to stop: their starts, clamped to [0,1], and their classes."""
        training = self._material.training
        draws = torch.arange(start, stop)
        y = draws % training.classes
        return Examples(self.start(training, y, draws, self.seed).clamp(0, 1), y, start)

    def content(self, images: ImageSet, start: int, stop: int) -> str:
        """Nothing: draws are made from the training images, which the settings name by their fingerprint."""
        return ""

    @property
    def _material(self) -> Material:
        if self.material is None:
            raise ValueError("expected a measure that is bound to its training images; call bound() first")
        return self.material

    def cost(self, classes: int) -> Cost:
        gradients = self.sampler.gradients * self.sampler.steps
        return Cost(forward=gradients + 1, backward=gradients)

    def costs(self, classes: int, shape: Sequence[int]) -> Mapping[str, Cost]:
        return {"draws": self.cost(classes), "scores": Cost(forward=2)}

    def __call__(self, model: nn.Module, examples: Examples, threat: ThreatModel) -> ShardResult:
        material, device = self._material, examples.x.device
        descend, real = self._descend, None
        if descend.needs_reference:
            real = reference(model, material.training, self.reference_images, device)
        draws = torch.arange(examples.start, examples.start + len(examples), device=device)
        meter().enter("draws")
        batches = [
            descend(model, x, y, mine, self.seed, real)
            for x, y, mine in zip(
                *(part.split(self.batch_size) for part in (examples.x, examples.y, draws)), strict=True
            )
        ]
        meter().enter("scores")
        image, start = as_bytes(torch.cat([batch.x for batch in batches])), as_bytes(examples.x)
        index, distance = material.nearest(image)
        finite = torch.cat([batch.finite for batch in batches])
        arrays = {
            "label": examples.y.int(),
            "steps": torch.cat([batch.steps for batch in batches]).int(),
            "finite": finite,
            "joint_energy": torch.cat([batch.joint for batch in batches]),
            "marginal_energy": torch.cat([batch.marginal for batch in batches]),
            "nearest": index.int(),
            "nearest_distance": distance,
            "start_nearest_distance": material.nearest(start)[1],
            "image": image,
            "start_image": start,
        }
        material.held_out_distances(device)  # what the summary needs of real images is made here, where the device is
        if material.extractor is not None:
            for split in (material.training.images, material.held_out):
                material.real(split, material.extractor, device)
            for prefix, pictures in (("", image), ("start_", start)):
                arrays[f"{prefix}features"], arrays[f"{prefix}logits"] = material.extractor(pictures, device)
        message = "{n} draws met logits or gradients that are not finite and stopped: they are left out of every number"
        failed = int((~finite).sum())
        notes = (Note("no-gradient", message, failed),) if failed else ()
        return ShardResult({name: array.cpu().numpy() for name, array in arrays.items()}, notes)

    def summarise(self, arrays: Mapping[str, np.ndarray], notes: Sequence[Note]) -> Summary:
        material = self._material
        sound, real = np.flatnonzero(arrays["finite"]), len(material.held_out)
        every, equal = np.arange(len(arrays["finite"])), min(len(sound), real)
        whole = {"": sound, "starts.": every, "held_out.": np.arange(real)}
        alike = {"": sound[:equal], "starts.": sound[:equal], "held_out.": _evenly(real, equal)}
        values: dict[str, Value] = {}
        compared: dict[str, Value] = {}
        for prefix, kept in whole.items():
            scored = self._scored(prefix, arrays, kept)
            again = scored if np.array_equal(kept, alike[prefix]) else self._scored(prefix, arrays, alike[prefix])
            values |= {f"{prefix}{name}": value for name, value in scored.items()}
            compared |= {f"{EQUAL_N}{prefix}{name}": value for name, value in again.items()}
        values |= compared
        held_out = material.held_out_distances(torch.device("cpu"))
        fewest = min(equal, len(held_out))
        drawn, started = arrays["nearest_distance"], arrays["start_nearest_distance"]
        distances = {
            "": drawn[sound],
            "starts.": started,
            "held_out.": held_out,
            EQUAL_N: drawn[sound[:fewest]],
            f"{EQUAL_N}starts.": started[sound[:fewest]],
            f"{EQUAL_N}held_out.": held_out[_evenly(len(held_out), fewest)],
        }
        for prefix, distance in distances.items():
            values[f"{prefix}nearest_distance.mean"] = mean(distance)
            least = Value(value=float(distance.min()), n=len(distance)) if len(distance) else mean(distance)
            values[f"{prefix}nearest_distance.min"] = least
        for place, step in enumerate(marks_of(self.sampler.steps)):
            for energy in ("joint_energy", "marginal_energy"):
                values[f"{energy}.step_{step}.mean"] = mean(arrays[energy][sound, place])
        steps = arrays["steps"][sound]
        values["steps.mean"] = mean(steps)
        zero = Value(value=float((steps == 0).sum()), n=len(steps)) if len(steps) else mean(steps)
        values["steps.zero"] = zero
        told = list(notes)
        if material.extractor is None:
            told.append(Note("no-extractor", f"{material.reason}: images are drawn and not scored"))
        return Summary(values, flags_of(told))

    def _scored(self, prefix: str, arrays: Mapping[str, np.ndarray], kept: np.ndarray) -> dict[str, Value]:
        """Scores by name of some of one set's images, against all training images."""
        material, cpu = self._material, torch.device("cpu")
        if material.extractor is None:
            return {name: Value(value=None, n=len(kept), reason=material.reason) for name in NAMES}
        chosen = torch.from_numpy(kept)
        if prefix == "held_out.":
            found = material.real(material.held_out, material.extractor, cpu)
            images = Features(found.features[chosen], found.logits[chosen])
        else:
            kind = "start_" if prefix else ""
            images = Features(*(torch.from_numpy(arrays[f"{kind}{part}"])[chosen] for part in ("features", "logits")))
        real = material.real(material.training.images, material.extractor, cpu)
        return self.scores(images, real, material.extractor.label)

    def exhibit(self, arrays: Mapping[str, np.ndarray], folder: Path, mark: str) -> None:
        """`samples.safetensors` with every image, start, class and nearest training image, and the gallery's pictures."""
        training = self._material.training.images
        kept = {name: np.ascontiguousarray(arrays[name]) for name in ("image", "start_image", "label", "nearest")}
        write_atomically(folder / "samples.safetensors", save_arrays(kept))
        neighbours = as_bytes(training.images[torch.from_numpy(arrays["nearest"]).long()]).numpy()
        write_gallery(
            folder, mark, arrays["image"], arrays["start_image"], neighbours, arrays["label"], training.classes
        )


_FAST = Generation(
    images=10_000,
    start=PCAStart(variance=0.95, tau=0.354),
    sampler=SGLD(eta=0.5, steps=100, noise=0.001),
    scores=Scores(),
    preset="10k",
)

PRESETS: dict[str, Generation] = {
    measure.preset: measure
    for measure in (
        Generation(),
        _FAST,
        replace(_FAST, images=50_000, preset="50k"),
        replace(
            _FAST,
            images=50_000,
            start=PCAStart(variance=0.99, tau=0.354),
            sampler=SGLD(eta=0.025, steps=500, momentum=0.8, noise=0.001),
            preset="paper",
        ),
    )
}
"""short: 1,000 images, for digits. 10k and 50k: colour images, larger steps. paper: as its code has it, on 50,000 images."""
