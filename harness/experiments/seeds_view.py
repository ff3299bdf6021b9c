"""The seeds of recipes as their page shows them: recipes over seeds, every seed, and all pairs of recipes in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.experiments.cells import OVER_SEEDS, SD, accuracy, spread
from harness.experiments.measuring import ATTACKS, Found
from harness.experiments.seeds import Line, Seed, Seeds
from harness.experiments.trials import Ground
from leaderboards.board.paired import Paired
from leaderboards.charts.experiment_charts import SeedPoint, seeds_chart
from leaderboards.charts.vega import Chart
from leaderboards.pages.experiment import Cell, Column, ExperimentView, Table
from leaderboards.records.schema import is_number


def seeds_view(
    seeds: Seeds,
    planned: Sequence[Seed],
    found: Mapping[str, Found],
    lines: Sequence[Line],
    pairs: Sequence[Paired],
    ground: Ground,
) -> ExperimentView:
    """The page of the experiment."""
    by = next((ATTACKS[one.attacked] for one in found.values() if one.attacked), "the attack")
    n = next((one.robust.n for one in found.values() if one.robust), 0)
    notes = [
        f"Trained on {len(ground.images):,} images of {ground.images.name}. Robust accuracy is after {by}, on {n:,} test"
        " images, the same for every entrant.",
    ]
    if len(seeds.seeds) < 3:
        notes.append(
            "Fewer than three seeds: the spread of training is hardly known. Give three or more before you claim a"
            " difference."
        )
    findings = tuple(text for pair in pairs for text in (f"{pair.sentence} {pair.details}".strip(),))
    return ExperimentView(
        title="Seeds of training",
        suite=ground.suite.title,
        lead="How much does a recipe's result depend on its seed, and which recipe is above which?",
        notes=tuple(notes),
        tables=(_recipes(lines), _every(planned, found, by)),
        charts=tuple(chart for chart in (_chart(seeds, planned, found),) if chart is not None),
        findings_heading="Recipes compared on the same images",
        findings=findings,
    )


def _recipes(lines: Sequence[Line]) -> Table:
    cells = tuple(
        (Cell(line.recipe), Cell(str(len(line.seeds))), *spread(line.standard), *spread(line.robust)) for line in lines
    )
    columns = (
        Column("recipe", words=True),
        Column("seeds"),
        Column("mean standard, %", OVER_SEEDS),
        SD,
        Column("mean robust, %"),
        Column("sd, points"),
    )
    return Table("Recipes over their seeds", columns, cells)


def _every(planned: Sequence[Seed], found: Mapping[str, Found], by: str) -> Table:
    cells = []
    for one in sorted(planned, key=lambda one: [p.recipe for p in planned].index(one.recipe)):
        mine = found.get(one.trial.name)
        values = accuracy(mine.standard if mine else None), accuracy(mine.robust if mine else None)
        cells.append((Cell(one.trial.name), Cell(str(one.seed)), *values))
    robust = Column("robust, %", f"Share of test images that stay correct under {by}: an upper bound.")
    columns = (Column("entrant", words=True), Column("seed"), Column("standard, %"), robust)
    return Table("Every seed", columns, tuple(cells))


def _chart(seeds: Seeds, planned: Sequence[Seed], found: Mapping[str, Found]) -> Chart | None:
    points = []
    for name in seeds.recipes:
        for one in (one for one in planned if one.recipe == name and one.trial.name in found):
            mine = found[one.trial.name]
            for kind, value in (("robust", mine.robust), ("standard", mine.standard)):
                if value is not None and is_number(value.value):
                    points.append(SeedPoint(name, one.seed, kind, value.value))
    return seeds_chart(points)
