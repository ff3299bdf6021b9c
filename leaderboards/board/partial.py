"""The columns of a board of the first examples: beside each number, of how many images it is."""

from __future__ import annotations

from dataclasses import replace

from leaderboards.board import formats
from leaderboards.board.columns import COLUMNS, RANK, RANKED_BY, Column

RANK_AMONG_MEASURED = replace(
    RANK,
    title="Place by measured robust accuracy, among the entrants that were measured on these images; equal accuracies share a"
    " place. AutoAttack accuracy (of a bounded one the low end), or what is best known here where that is lower. An entrant"
    " with published numbers alone stands where its number puts it, and has no rank.",
)


def partial_columns(examples: int | None) -> tuple[Column, ...]:
    """The main table of a board of the first examples.

    `examples` are all that the suite has: published numbers are taken to be of them. None where that is not known.
    """
    n = Column(
        "n",
        "n",
        "Images that the numbers rest on. Measured: the first ones of the suite. Published: all of them.",
        lambda entry: entry.examples if entry.record else examples,
        write=formats.count,
        essential=True,
    )
    return tuple(
        found
        for column in COLUMNS
        for found in ((RANK_AMONG_MEASURED,) if column is RANK else (column, n) if column is RANKED_BY else (column,))
    )
