"""The seeds of one recipe as training saw them: standard and PGD-20 accuracy on held-out images, seed by seed and over them.

The numbers are the cards'. Held-out images come from the training data, the same for every seed, and choose the epoch that is
kept where a recipe keeps the best; so they err high, and a suite's test images are what entrants are judged on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.experiments.spread import Spread, over_seeds
from harness.training.card import held_out_at
from leaderboards.board import formats
from leaderboards.pages.experiment import Cell, Column, Table
from leaderboards.records.schema import Value
from zoo.entrant import Card

KINDS = ("standard_accuracy", "pgd_accuracy")


def held_out_of(card: Card) -> Mapping[str, Any] | None:
    """What a card says of the held-out images, or its log, where the card is from before it did; None where none were."""
    if "held_out" in card.training:
        return card.training["held_out"]
    try:
        assert card.dynamics is not None
        rows = [json.loads(line) for line in card.dynamics.read_text(encoding="utf-8").splitlines()]
        return held_out_at(rows, card.training["selected_epoch"])
    except (AssertionError, OSError, ValueError, KeyError, TypeError):
        return None


def value_of(card: Card, kind: str) -> Value | None:
    """An accuracy of KINDS on the held-out images, from 0 to 1; None where it is not known."""
    found = held_out_of(card)
    return Value(value=found[kind], n=found["n"]) if found is not None else None


def spreads(cards: Sequence[Card]) -> dict[str, Spread | None]:
    """Mean and standard deviation over the cards of each of KINDS; None for fewer than two, and where one is not known."""
    return {kind: over_seeds([value_of(card, kind) for card in cards], ()) for kind in KINDS}


def held_out_table(name: str, cards: Mapping[int, Card]) -> Table:
    """A row a seed, and below them the row of their mean ± their standard deviation (n - 1). `cards` by seed."""
    rows = [
        (
            Cell(card.name),
            Cell(str(seed)),
            Cell(str(card.training.get("selected_epoch", formats.NOTHING))),
            *(_percent(value_of(card, kind)) for kind in KINDS),
        )
        for seed, card in cards.items()
    ]
    over = spreads(list(cards.values()))
    if any(over.values()):
        many = f"{len(cards)} seeds"
        rows.append((Cell(f"{name}: mean ± sd"), Cell(many), Cell(""), *(_spread(over[kind]) for kind in KINDS)))
    n = next((found["n"] for card in cards.values() if (found := held_out_of(card)) is not None), 0)
    columns = (
        Column("entrant", words=True),
        Column("seed"),
        Column("epoch kept"),
        Column("standard, %"),
        Column("PGD-20, %"),
    )
    caption = f"On {n:,} held-out images of the training data" if n else "No images were held out"
    return Table(caption, columns, tuple(rows))


def _percent(value: Value | None) -> Cell:
    return Cell(
        formats.percent(value.value, value.n) if value is not None and value.value is not None else formats.NOTHING
    )


def _spread(found: Spread | None) -> Cell:
    if found is None:
        return Cell(formats.NOTHING)
    return Cell(f"{formats.percent(found.mean, found.n)} ± {formats.percent(found.sd, found.n)}")
