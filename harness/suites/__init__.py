"""What entrants are measured on: suites as constants, and from TOML files.

The package can be called: `harness.suites()` gives the built-in suites by name.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.suites.suite import Suite


class _Suites(ModuleType):
    """The package as a function, for `harness.suites` is both the package and what a user calls."""

    def __call__(self) -> dict[str, Suite]:
        """The built-in suites by name."""
        from harness.suites.suite import SUITES

        return dict(SUITES)


sys.modules[__name__].__class__ = _Suites
