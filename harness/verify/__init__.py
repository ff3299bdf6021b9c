"""Proving a record again: its witnesses replayed, its numbers computed again, lower numbers handed in.

The package can be called: `harness.verify("runs")` gives a verdict for each record there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.verify.verdict import Verdict


class _Verify(ModuleType):
    """The package as a function, for `harness.verify` is both the package and what a user calls."""

    def __call__(self, *places: Path | str, entrants: tuple[str, ...] = (), **options: Any) -> list[Verdict]:
        """The verdict of each record of these files and folders, as `harness verify` gives them.

        `options` are those of harness.verify.verification.verify. Raises BadInput where there is no such record.
        """
        from harness.verify.chosen import chosen
        from harness.verify.verification import verify

        return list(verify(chosen([Path(place) for place in places], entrants), own=entrants, **options))


sys.modules[__name__].__class__ = _Verify
