"""Who is judged: entrants of RobustBench, own ones, and any callable that gives a model.

Importing this package is quick: torch is imported with the first entrant that is looked for, robustbench and timm, which
take seconds, when an entrant of RobustBench looks for its files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.entrant import Card, Domain, Entrant, EntrantError, Weights

if TYPE_CHECKING:
    from zoo.catalogue import entrants, find

__all__ = ["Card", "Domain", "Entrant", "EntrantError", "Weights", "entrants", "find"]


def __getattr__(name: str) -> Any:
    """`zoo.find` and `zoo.entrants`, whose module imports torch."""
    if name in ("entrants", "find"):
        from zoo import catalogue

        return getattr(catalogue, name)
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")
