"""What is kept of a training run beside the weights: the card, and the weights that were not selected."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from harness.data.images import ImageSet
from harness.provenance import commit, versions
from harness.suites.suite import Suite
from harness.training.distributed import World
from harness.training.dynamics import dynamics_file, phases_of, robust_overfitting
from harness.training.recipes import Recipe
from harness.training.trainer import Trained
from leaderboards.records.files import write_atomically
from zoo.entrant import Card


@dataclass(frozen=True)
class Origin:
    """What an entrant is trained from and on: a suite's threat model, a recipe, images, and where they are."""

    suite: Suite
    recipe: Recipe
    images: ImageSet
    synthetic: ImageSet | None
    device: torch.device
    world: World


def card_of(name: str, origin: Origin, trained: Trained, dynamics: Path) -> Card:
    """The card of a trained entrant; an objective without a title gives its name. `dynamics` is the log of its epochs."""
    method = origin.recipe.method
    return Card(
        name=name,
        source="zoo",
        architecture=origin.recipe.architecture,
        title=method.title or method.name,
        link=method.link,
        licence="MIT",
        additional_data=origin.synthetic is not None,
        training=_training(origin, trained, dynamics.name),
        dynamics=dynamics,
    )


def keep_other(place: Path, trained: Trained) -> Path | None:
    """Write the weights that were not selected (best or last) beside the entrant; leave none of an earlier run there."""
    paths = {which: place.with_name(f"{place.name}.{which}.safetensors") for which in ("best", "last")}
    for path in paths.values():
        path.unlink(missing_ok=True)
    if trained.other is None:
        return None
    path = paths["last" if trained.selected == trained.best else "best"]
    write_atomically(path, safetensors.torch.save({name: t.contiguous() for name, t in trained.other.items()}))
    return path


def made_of(origin: Origin) -> dict[str, Any]:
    """From what the weights are made: recipe, threat model and data, as cards have them."""
    suite, recipe, images, synthetic = origin.suite, origin.recipe, origin.images, origin.synthetic
    sources = [asdict(file) for file in recipe.method.sources]
    return {
        "recipe": recipe.to_json(),
        **({"objective_sources": sources} if sources else {}),
        "beta": recipe.strength,
        "norm": suite.norm,
        "eps": suite.threat.eps,
        "dataset": images.name,
        "fingerprint": images.fingerprint,
        "images": len(images),
        **(
            {"synthetic": {"file": synthetic.source, "fingerprint": synthetic.fingerprint, "images": len(synthetic)}}
            if synthetic is not None
            else {}
        ),
    }


def held_out_at(rows: Sequence[Mapping[str, Any]], epoch: int) -> dict[str, float] | None:
    """Number of held-out images, and standard and PGD-20 accuracy on them after an epoch; None where none were held out."""
    found = next((row["validation"] for row in rows if row["number"] == epoch), None)
    return {key: found[key] for key in ("n", "standard_accuracy", "pgd_accuracy")} if found is not None else None


def _removed(trained: Trained) -> dict[str, Any]:
    """How many samples were removed in all epochs, of how many; nothing where none were to be."""
    counts = [row["removed"] for row in trained.rows if "removed" in row]
    return {"removed": {key: sum(count[key] for count in counts) for key in counts[0]}} if counts else {}


def _training(origin: Origin, trained: Trained, dynamics: str) -> dict[str, Any]:
    """How the weights were made."""
    phases = phases_of(trained.rows)
    revision, dirty = commit()
    return {
        **made_of(origin),
        **_removed(trained),
        "selected_epoch": trained.selected,
        "best_epoch": trained.best,
        "best_pgd_accuracy": trained.best_pgd_accuracy,
        "last_pgd_accuracy": trained.last_pgd_accuracy,
        "held_out": held_out_at(trained.rows, trained.selected),
        "dynamics": {
            "file": dynamics,
            "sha256": hashlib.sha256(dynamics_file(trained.rows)).hexdigest(),
            "phases": [asdict(phase) for phase in phases.phases] if phases is not None else None,
            "overfitting_epoch": robust_overfitting(
                trained.rows, phases, attacked=origin.recipe.method.attack is not None
            ),
        },
        "device": origin.device.type,
        "processes": origin.world.size,
        "seconds": round(trained.seconds, 1),
        "commit": revision,
        "dirty": dirty,
        "versions": versions(),
    }
