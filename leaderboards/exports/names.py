"""Names that exports share, and that the command line shows without loading what writes."""

from __future__ import annotations

import re

PROJECT = "robust-energy-harness"
"""What the project is called where its records stand among others'."""

EVERY_EVAL_EVER, IN_TOTO = "every-eval-ever", "in-toto"
FORMATS = (EVERY_EVAL_EVER, IN_TOTO)

HEX = re.compile("[0-9a-f]{64}")
"""A sha256 as records write it."""
