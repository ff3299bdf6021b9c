"""Who is judged: entrants of RobustBench, own ones, and any callable that gives a model.

Importing this package imports torch, but neither robustbench nor timm: those take seconds, and are imported when an
entrant of RobustBench looks for its files.
"""

from zoo.catalogue import entrants, find
from zoo.entrant import Card, Domain, Entrant, EntrantError, Weights

__all__ = ["Card", "Domain", "Entrant", "EntrantError", "Weights", "entrants", "find"]
