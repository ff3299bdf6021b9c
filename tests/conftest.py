"""One thread for the arithmetic of each process of the tests, set before anything imports torch.

The networks of the tests are small: several threads cost them more time than they save, and xdist runs a process a core.
What the tests start (workers of xdist, workers of a run, command lines) inherits it.
"""

from __future__ import annotations

import os
import sys

for library in ("OMP", "MKL", "OPENBLAS"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

if "torch" in sys.modules:  # a plugin was here first, and torch has read its environment
    sys.modules["torch"].set_num_threads(1)
