"""The removal experiment as its page shows it: a row an arm and fraction, and robust accuracy against the fraction."""

from __future__ import annotations

from collections.abc import Sequence

from harness.experiments.cells import NOTHING, OVER_SEEDS, SD, accuracy, epochs, number, spread
from harness.experiments.measuring import ATTACKS
from harness.experiments.removal import ArmSpread, Removal, Row
from harness.experiments.trials import Ground
from leaderboards.board import formats
from leaderboards.charts.experiment_charts import ArmPoint, removal_chart
from leaderboards.charts.vega import Chart
from leaderboards.pages.experiment import Cell, Column, ExperimentView, Table
from leaderboards.records.schema import Value, is_number

ARM_COLUMN = Column(
    "arm",
    "Which samples leave each batch of training. Whether one is classified correctly is by the network as it is at that step,"
    " before the attack.",
    words=True,
)
REMOVED = Column(
    "samples removed", "Samples that were removed in all epochs. It is the same number for all arms of a fraction."
)
NAMED = Column("by its rule", "Removed samples that the arm names.")
FILLED = Column("filled up", "Removed samples that were drawn at random, because the arm named too few.")
DIFFERENCE = Column(
    "against none, points",
    "Robust accuracy less that of the arm none of the same seed, on the same images, with a paired 95 % interval. The interval"
    " covers the choice of test images. It does not cover the spread of training.",
)


def removal_view(removal: Removal, rows: Sequence[Row], spreads: Sequence[ArmSpread], ground: Ground) -> ExperimentView:
    """The page of the experiment."""
    by = next((ATTACKS[row.found.attacked] for row in rows if row.found and row.found.attacked), "the attack")
    n = next((row.found.robust.n for row in rows if row.found and row.found.robust), 0)
    recipe = removal.recipe
    notes = [
        f"Recipe: {recipe.objective}, {epochs(recipe.epochs)}, batches of"
        f" {min(recipe.batch_size, ground.trained_on(recipe))}, {recipe.architecture}. Trained on"
        f" {len(ground.images):,} images of {ground.images.name}. Robust accuracy is after {by}, on {n:,} test images.",
        "In every arm of a fraction, the same number of samples leaves each batch before the attack. If an arm names too few"
        " samples, random ones fill up. An arm that is mostly filled up is mostly the arm random.",
    ]
    if len(removal.seeds) == 1:
        notes.append(
            "One seed: a difference may be the chance of this training. Give three seeds or more before you claim it."
        )
    tables = [_arms(rows, by)]
    if spreads:
        tables.append(_spread(spreads))
    return ExperimentView(
        title="Sample removal",
        suite=ground.suite.title,
        lead="Which samples does adversarial training need? Each arm removes samples of another kind from every batch. The"
        " arms are compared on the same test images.",
        notes=tuple(notes),
        tables=tuple(tables),
        charts=tuple(chart for chart in (_chart(rows, spreads),) if chart is not None),
    )


def _arms(rows: Sequence[Row], by: str) -> Table:
    cells = []
    for row in rows:
        found, removed, change = row.found, row.removed, row.difference
        between = NOTHING
        if change is not None:
            ends = Value(value=change.value, low=change.low, high=change.high, level=change.level, n=change.n)
            between = number(ends, formats.points)
        counts = removed["named"] + removed["filled"], removed["named"], removed["filled"]
        cells.append(
            (
                Cell(row.arm.how),
                Cell(f"{100 * row.arm.fraction:g}"),
                Cell(str(row.arm.seed)),
                *(Cell(formats.count(count)) for count in counts),
                accuracy(found.standard if found else None),
                accuracy(found.robust if found else None),
                between,
            )
        )
    columns = (
        ARM_COLUMN,
        Column("removed of a batch, %"),
        Column("seed"),
        REMOVED,
        NAMED,
        FILLED,
        Column("standard, %"),
        Column("robust, %", f"Share of test images that stay correct under {by}: an upper bound."),
        DIFFERENCE,
    )
    return Table("Every arm", columns, tuple(cells))


def _spread(spreads: Sequence[ArmSpread]) -> Table:
    cells = tuple(
        (
            Cell(one.how),
            Cell(f"{100 * one.fraction:g}"),
            Cell(str(one.robust.seeds)),
            *spread(one.standard),
            *spread(one.robust),
            *spread(one.difference, formats.points),
        )
        for one in spreads
    )
    columns = (
        Column("arm", words=True),
        Column("removed of a batch, %"),
        Column("seeds"),
        Column("mean standard, %"),
        Column("sd, points"),
        Column("mean robust, %", OVER_SEEDS),
        SD,
        Column(
            "mean against none, points", "Mean over the seeds of the difference from the arm none of the same seed."
        ),
        Column("sd, points"),
    )
    return Table("Over the seeds", columns, cells)


def _chart(rows: Sequence[Row], spreads: Sequence[ArmSpread]) -> Chart | None:
    """Of several seeds the means with their smallest and largest seed, else the one seed with its interval."""
    if spreads:
        robust: dict[tuple[str, float], list[float]] = {}
        for row in rows:
            if row.found and row.found.robust and is_number(row.found.robust.value):
                robust.setdefault((row.arm.how, row.arm.fraction), []).append(row.found.robust.value)
        points = [ArmPoint(how, at, sum(v) / len(v), min(v), max(v)) for (how, at), v in robust.items()]
        ends = "Points are means over the seeds. Bars reach from the smallest seed to the largest."
    else:
        points = [
            ArmPoint(row.arm.how, row.arm.fraction, value.value, value.low, value.high)
            for row in rows
            if row.found and (value := row.found.robust) is not None and is_number(value.value)
        ]
        ends = "Bars are 95 % intervals: they cover the choice of test images."
    baseline = next((point for point in points if point.arm == "none"), None)
    return removal_chart(baseline, [point for point in points if point.arm != "none"], ends)
