"""Own entrants by name: saved with their cards, and found again in the folders that hold them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Collection, Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from zoo.architectures import build
from zoo.cards import CardFile, read_card, require_name
from zoo.checkpoints import SHIPPED, CheckpointEntrant
from zoo.entrant import Card, Domain, EntrantError
from zoo.faults import mismatch
from zoo.weights_place import same_files, weights_place


def save_entrant(stem: Path, model: nn.Module, card: Card, domain: Domain) -> CheckpointEntrant:
    """Write <stem>.safetensors and <stem>.json, each whole or not at all; the same model and card, the same bytes.

    `stem` ends in the card's name. Raises EntrantError where the model does not fit the card's architecture, or the
    card cannot be written.
    """
    if require_name(card.name) != stem.name:
        raise EntrantError(f"expected files named {card.name!r} as the card is, got {stem.name!r}; use one name")
    require_no_pickle(stem)
    text = CardFile(card, domain.suite, domain.classes, domain.shape).to_json()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with torch.random.fork_rng(devices=()):
        network = build(card.architecture, domain.classes, domain.shape)
    try:
        network.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise EntrantError(
            f"expected a model of {card.architecture} for {domain.classes} classes, got {mismatch(error)};"
            " name the architecture that it is"
        ) from error
    path = stem.with_name(f"{stem.name}.safetensors")
    _write(path, safetensors.torch.save(tensors))
    _write(stem.with_name(f"{stem.name}.json"), text.encode())  # last: with the card, the entrant is there
    return CheckpointEntrant(path, domain, source="zoo")


def own_entrants(
    domain: Domain,
    folders: Sequence[Path] = (),
    model_dir: Path = Path("models"),
    names: Collection[str] | None = None,
) -> tuple[CheckpointEntrant, ...]:
    """Every own entrant of a suite, by name: the shipped ones, then those in <folder>/<suite>/ of each folder. Where `names`
    are given, of these alone: what is wrong with another's card is no matter then.

    Its weights lie beside its card, in a file (SUFFIXES) or a folder; or, where the card has their address, in
    <model_dir>/<suite>/. Raises EntrantError for a card that cannot be used, for one with two files, and
    for one name in two folders, unless the card is the same.
    """
    found: dict[str, CheckpointEntrant] = {}
    for folder in dict.fromkeys(folder.resolve() for folder in (SHIPPED, *folders)):
        for path in sorted((folder / domain.suite).glob("*.json")):
            if names is not None and path.stem not in names:
                continue
            card = read_card(path, "zoo")
            if card.suite != domain.suite:
                continue
            card.require(domain, path)
            name = card.card.name
            weights = weights_place(path, card, model_dir.absolute() / domain.suite)
            entrant = CheckpointEntrant(weights, domain, source="zoo", card_at=path)
            if name in found and not same_files((found[name].card_path, found[name].path), (path, weights)):
                ships = found[name].card_path.is_relative_to(SHIPPED.resolve())
                raise EntrantError(
                    f"expected one entrant named {name!r}, got {found[name].card_path}"
                    f"{', which ships with the project,' if ships else ''} and {path}; rename one, or make them the same"
                )
            if name not in found or found[name].missing():
                found[name] = entrant
    return tuple(found.values())


def own_names(domain: Domain, folders: Sequence[Path] = ()) -> list[str]:
    """The names of the cards in the folders of a suite, for hints: none is read."""
    return [path.stem for folder in (SHIPPED, *folders) for path in sorted((folder / domain.suite).glob("*.json"))]


def require_no_pickle(stem: Path) -> None:
    """Raise EntrantError where <stem>.pt is there: written beside it, <stem>.safetensors would be a second file of one name."""
    if (pickle := stem.with_name(f"{stem.name}.pt")).exists():
        raise EntrantError(f"expected no other weights of {stem.name!r}, got {pickle}; rename or remove that file")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with part.open("xb") as file:
            file.write(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
