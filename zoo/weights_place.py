"""Where the weights of a card lie: beside it, or where they are fetched to from the address that it gives."""

from __future__ import annotations

from pathlib import Path

from zoo.cards import SUFFIXES, CardFile
from zoo.entrant import EntrantError, sha256_of_file


def weights_place(path: Path, card: CardFile, fetched: Path) -> Path:
    """The file or folder of a card's weights; `fetched` is the folder of those that have an address and are not beside it.

    Raises EntrantError where more than one lies beside the card.
    """
    here = [file for ending in (*SUFFIXES, "") if (file := path.with_name(f"{path.stem}{ending}")).exists()]
    if len(here) > 1:
        raise EntrantError(
            f"expected one file of weights beside {path}, got {' and '.join(file.name for file in here)}; remove one"
        )
    if not here and card.weights is not None:
        return fetched / f"{path.stem}{card.weights.suffix}"
    return here[0] if here else path.with_name(f"{path.stem}{SUFFIXES[0]}")


def same_files(one: tuple[Path, Path], other: tuple[Path, Path]) -> bool:
    """Whether two entrants of one name, each a card and its weights, are one: their cards are, and the weights that are
    here."""
    cards, weights = zip(one, other, strict=True)
    if cards[0].read_bytes() != cards[1].read_bytes():
        return False
    return not all(path.is_file() for path in weights) or len({sha256_of_file(path) for path in weights}) == 1
