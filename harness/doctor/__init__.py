"""What is wrong with an entrant, in seconds, before anything dear is measured: docs/doctor.md.

The package can be called: `harness.doctor(model, suite="digits")` gives a Diagnosis.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.doctor.finding import Diagnosis
    from harness.run.judge import Model
    from harness.suites.suite import Suite


class _Doctor(ModuleType):
    """The package as a function, for `harness.doctor` is both the package and what a user calls."""

    def __call__(self, model: Model, suite: Suite | str = "digits", **options: Any) -> Diagnosis:
        """What is found of a module, a function, or an entrant by its name, on a few images of a suite.

        `options` are those of harness.doctor.examination.doctor. Raises BadInput and EntrantError where files are missing.
        """
        from harness.doctor.examination import doctor

        return doctor(model, suite, **options)


sys.modules[__name__].__class__ = _Doctor
