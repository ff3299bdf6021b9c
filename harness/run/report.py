"""What a run is told as: plan, results and generated images as rows of text, for any terminal or log."""

from __future__ import annotations

from collections.abc import Sequence

from harness.measures import MEASURES
from harness.run.forecast import Forecast, Left
from harness.run.plan import Plan, Task
from harness.run.progress import Progress
from leaderboards.board.entry import Basis, Entry
from leaderboards.board.generation import MEASURE as GENERATION
from leaderboards.board.generation import ScoreRow, scale_of, score_rows, score_tables
from leaderboards.board.labels import SETS
from leaderboards.board.quantities import Name, headlines
from leaderboards.records.schema import Quantity, Record, Value

AUTOATTACK: Name = ("autoattack", "autoattack_accuracy")

BEST_KNOWN: Name = ("", "best known")
"""The column of what is best known beside AutoAttack, which no measure measures."""

PLAN_HEADINGS = ("entrant", "measure", "shards", "to do", "forward passes", "backward passes")


def duration(seconds: float) -> str:
    """Seconds as a person reads them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def span(left: Left) -> str:
    """What is left, as a person reads it: one number where it is known to a factor of 1.5, else both ends."""
    if left.vague:
        low, high = duration(left.low), duration(left.high)
        number, unit = low.split(" ")
        return f"between {number if high.endswith(unit) else low} and {high}" if low != high else f"about {high}"
    return f"about {duration(left.likely)}"


def work(news: Progress) -> str:
    """A job in flight, in a few words: who, what, which examples, and how far it is."""
    stage = f" {news.stage}" if news.stage and news.stage != news.measure else ""
    part = 100 * news.done / max(news.total, 1.0)
    return f"{news.entrant} {news.measure}{stage} {news.start}-{news.start + news.examples}, {part:.0f} %"


def headway(forecast: Forecast, seconds: float, *, short: bool = False) -> str:
    """How far a run is after so many seconds: samples done of all, time gone and left, what runs now, and what is robust so
    far. A sample is an example, or a drawn image, under one measure."""
    done, examples = int(forecast.done), forecast.examples
    left = forecast.left()
    parts = [
        f"{done:,}/{examples:,} samples ({100 * done // max(examples, 1)} %)",
        f"{duration(seconds)} gone",
        f"{span(left)} left" if left is not None else "time left not known yet",
    ]
    if not short:
        for news in forecast.flying[:2]:
            robust = "" if news.robust is None else f", {100 * news.robust / news.examples:.0f} % robust so far"
            parts.append(f"now {work(news)}{robust}")
        if (more := len(forecast.flying) - 2) > 0:
            parts.append(f"and {more} more")
    return ", ".join(parts)


def plan_rows(plan: Plan, todo: Sequence[Task]) -> list[tuple[str, ...]]:
    """A row an entrant and measure, under PLAN_HEADINGS; passes are upper bounds of what is left to do."""
    waiting = {task.key for task in todo}
    rows: list[tuple[str, ...]] = []
    for index, judged in enumerate(plan.judged):
        for measure in plan.measures:
            tasks = plan.of(index, measure.name)
            left = [task for task in tasks if task.key in waiting]
            cost = plan.cost(left)
            counts = str(len(tasks)), str(len(left)), f"{cost.forward:,}", f"{cost.backward:,}"
            rows.append((judged.name, measure.name, *counts))
    return rows


def headline_columns(records: Sequence[Record]) -> dict[Name, Quantity]:
    """The headlines that the records have, a measure after the other; generated images have a table of their own.

    Records made before measures declared their values are read by what the measures declare today.
    """
    today = {
        (measure.name, value): said
        for measure in MEASURES.values()
        for value, said in measure.quantities().items()
        if said.kind == "headline"
    }
    entries = [Entry(record) for record in records]
    said = {**today, **headlines(records)}
    found = [name for name in said if name[0] != GENERATION and any(entry.measured(*name) for entry in entries)]
    order = [*MEASURES, *sorted({measure for measure, _ in found} - set(MEASURES))]
    columns: dict[Name, Quantity] = {}
    for name in sorted(found, key=lambda name: order.index(name[0])):
        columns[name] = said[name]
        if name == AUTOATTACK and any(entry.best_known for entry in entries):
            columns[BEST_KNOWN] = Quantity(title="Best known, here", unit="fraction", better="higher", kind="headline")
    return columns


def as_text(value: Value | None, unit: str) -> str:
    """A number in its unit; accuracies with their interval. A bounded one is its interval alone."""
    if value is not None and value.bounded and value.low is not None and value.high is not None:
        known = [f"{100 * end:.1f}" if unit == "fraction" else f"{end:.3f}" for end in (value.low, value.high)]
        return f"{'-'.join(known)} (bounded)"
    if value is None or value.value is None:
        return "-"
    if unit == "fraction":
        ends = (value.low, value.high)
        interval = "" if None in ends else " [" + ", ".join(f"{100 * end:.1f}" for end in ends if end is not None) + "]"
        return f"{100 * value.value:.1f}{interval}"
    if unit == "seconds":
        return duration(value.value)
    return f"{value.value:,.0f}" if unit == "count" else f"{value.value:.3f}"


def heading(said: Quantity) -> str:
    """What stands over a column: its short title, its unit where the numbers do not show it, an arrow to the better end."""
    unit = {"fraction": ", %", "count": ", number"}.get(said.unit, "")
    return said.heading + unit + {"higher": " ↑", "lower": " ↓", "neither": ""}[said.better]


def ranked(records: Sequence[Record]) -> list[Record]:
    """Best robust accuracy first; a bounded one by its low end, after a complete one that is level with that."""

    def place(record: Record) -> tuple[float, bool]:
        ranking = Entry(record).ranking
        return (-ranking[0], ranking[1] is Basis.BOUNDED) if ranking else (1.0, False)

    return sorted(records, key=place)


def result_row(record: Record, shown: dict[Name, Quantity]) -> tuple[str, ...]:
    """An entrant, marked where there are flags, its number of examples, and the values of these columns."""
    n = max((m.n for name, m in record.measurements.items() if name != GENERATION), default=0)
    entry = Entry(record)
    flagged = any(measurement.flags for measurement in record.measurements.values())
    flags = " *" if flagged or (record.best_known and record.best_known.flags) else ""
    found = (entry.best_known if name == BEST_KNOWN else entry.measured(*name) for name in shown)
    values = (as_text(value, said.unit) for value, said in zip(found, shown.values(), strict=True))
    return record.entrant.name + flags, f"{n}{' (partial)' if record.partial else ''}", *values


def legend(records: Sequence[Record], shown: dict[Name, Quantity]) -> list[str]:
    """What the signs of the results mean, those that stand there alone: a line of signs, and one of what is measured."""
    names = dict(shown)
    better = {said.better for said in names.values()}
    signs = ["n: examples measured"]
    if any(said.unit == "fraction" for said in names.values()):
        signs.append("[a, b]: 95 % interval")
    if any((found := Entry(record).measured(*name)) and found.bounded for record in records for name in names):
        signs.append("a-b (bounded): not all was attacked, the number is in this interval")
    signs += [sign for way, sign in (("higher", "↑: more is better"), ("lower", "↓: less is better")) if way in better]
    signs += ["*: see below"] if flag_lines(records) else []
    measured = [words for title, words in MEANS if any(title in said.title for said in names.values())]
    return [". ".join(signs) + ".", *([". ".join(measured) + "."] if measured else [])]


MEANS = (
    ("AutoAttack accuracy", "AutoAttack: share that no attack breaks, an upper bound on robust accuracy"),
    ("PGD: accuracy", "PGD: the same under one short attack"),
    ("E(x)", "E(x): -logsumexp of the logits; Δ: natural minus attacked"),
)
"""What is measured, in words, by what stands in the title of a value."""

GENERATION_LEGEND = (
    "FID, KID: distance to the training images, less is better, comparable within one table alone. Nearest: L2 distance to the"
    " nearest training image. n: images."
)


def flag_lines(records: Sequence[Record]) -> list[str]:
    """What a reader must know of each measurement."""
    lines = []
    for record in records:
        flags = [(m.measure, flag) for m in record.measurements.values() for flag in m.flags]
        flags += [("best known", flag) for flag in (record.best_known.flags if record.best_known else ())]
        lines += [f"* {record.entrant.name}, {what}: {flag.message}" for what, flag in flags]
    return lines


def generation_tables(records: Sequence[Record]) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """Scores of generated images, a title, headings and rows for each extractor and number of images, with the starts and
    the held-out images beside them."""
    rows: dict[tuple[str, str], dict[ScoreRow, list[str]]] = {}
    for record in records:
        if (found := record.measurements.get(GENERATION)) is None:
            continue
        scale = scale_of(found)
        by = (scale.label, scale.real) if scale else ("", "")
        for row in score_rows(found):
            names = rows.setdefault(by, {}).setdefault(row, [])
            # starts and held-out images are those of every entrant: one row each will do
            names += [record.entrant.name] if row.label == SETS[0][1] else [] if names else [""]
    tables = []
    for (extractor, _), named in rows.items():
        for table in score_tables(tuple(named)):
            how = f"scored by {extractor}" if extractor else "not scored"
            cells = [(name, row.label, *table.cells(row), row.n) for row in table.rows for name in named[row]]
            tables.append(
                (f"generation, {table.images:,} images, {how}", ("entrant", "images", *table.headings, "n"), cells)
            )
    return tables
