"""The findings of one paper, tested on the entrants of one board: Mirza et al. 2024, arXiv 2407.06315."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from leaderboards.board.entry import Entry
from leaderboards.findings.images import image_statements
from leaderboards.findings.narrowness import narrowness_statement
from leaderboards.findings.orders import order_statements
from leaderboards.findings.recipes import Recipe, recipes_of
from leaderboards.findings.shifts import shift_statements
from leaderboards.findings.statement import ALPHA, Statement, Verdict
from leaderboards.findings.training import phases_statement
from leaderboards.findings.weat import weat_statement

PAPER = "Mirza et al. 2024, Shedding More Light on Robust Classifiers under the lens of Energy-based Models"
LINK = "https://arxiv.org/abs/2407.06315"

RULE = (
    f"Each part of a statement has a two-sided test at {ALPHA:g}, after Holm's correction over the parts of this statement. The"
    " phases of training and WEAT have a rule of their own, under “Data and test”.",
    "A statement is general, so one counterexample refutes it. It holds where every part holds. It does not hold where any part"
    " is decided the other way. All else is undecided: too few recipes or images, or an interval that has room for both.",
    "Networks that differ in their seed alone are one recipe. Over recipes, each counts once, with the mean over its"
    " seeds. Over"
    " images, each seed is tested alone, and the recipe's p-value is twice the mean of theirs, which is valid however"
    " the seeds depend (Vovk and Wang 2020).",
    "A recipe is a standard one where its card says that it was trained without an attack. Where the card is silent, it is one"
    " where its AutoAttack accuracy is below 10 %. All others are robust ones.",
    "Statements are not corrected for each other. The verdicts are about the entrants of this board and images like these.",
)
"""How verdicts are made, in words for a reader. Written before any verdict was computed; of digits, the slopes of the phases of
training were known when the rule for them was written."""


@dataclass(frozen=True)
class Findings:
    """What was found on one board: of `entrants` networks of so many recipes, on `images` images."""

    recipes: tuple[Recipe, ...]
    images: int
    statements: tuple[Statement, ...]

    @property
    def entrants(self) -> int:
        return sum(recipe.seeds for recipe in self.recipes)

    @property
    def topics(self) -> tuple[tuple[str, tuple[Statement, ...]], ...]:
        """Topics in their order, with their statements."""
        order = dict.fromkeys(statement.topic for statement in self.statements)
        return tuple((topic, tuple(s for s in self.statements if s.topic == topic)) for topic in order)

    def count(self, verdict: str) -> int:
        """How many statements have this verdict."""
        return sum(statement.verdict is Verdict(verdict) for statement in self.statements)


def find(entries: Sequence[Entry]) -> Findings | None:
    """Every statement on the entries of one board, whose records are all of the same images; None where nothing was
    measured."""
    recipes = recipes_of(entries)
    if not recipes:
        return None
    record = recipes[0].networks[0].record
    suite = shlex.join(record.suite_words or ("--suite", record.suite.name))
    command = f"harness run {suite}{f' --limit {record.limit}' if record.limit is not None else ''}"
    shifts, *orders = order_statements(recipes, command)
    return Findings(
        recipes,
        max(network.entry.examples or 0 for recipe in recipes for network in recipe.networks),
        (
            *shift_statements(recipes, command),
            shifts,
            narrowness_statement(recipes, command),
            *orders,
            phases_statement(recipes, record.suite.name),
            weat_statement(recipes, command),
            *image_statements(recipes, command),
        ),
    )


def as_json(about: dict[str, Any], found: Findings) -> str:
    """The findings as a file: what the board is, the rule, and every statement with its parts; numbers are numbers."""
    content = {
        "suite": about,
        "paper": {"title": PAPER, "link": LINK},
        "alpha": ALPHA,
        "rule": RULE,
        "images": found.images,
        "recipes": {recipe.name: [network.name for network in recipe.networks] for recipe in found.recipes},
        "statements": [asdict(statement) for statement in found.statements],
    }
    return json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(content: Any) -> Any:
    """JSON has no NaN and no infinity: null stands there."""
    if isinstance(content, dict):
        return {key: _finite(held) for key, held in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(held) for held in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
