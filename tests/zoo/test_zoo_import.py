"""What importing the package costs and needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import zoo

PROGRAM = """
import sys
sys.modules["robustbench"] = None  # makes `import robustbench` an ImportError
import zoo
print(sorted({"timm", "gdown", "pyautoattack", "torchvision", "autoattack"} & set(sys.modules)))
from pathlib import Path
found = zoo.entrants(zoo.Domain("s", "cifar10", "L2", 10, (3, 32, 32)), model_dir=Path("absent"))
print(len(found))
try:
    found[0].missing()
except zoo.EntrantError as error:
    print(error)
"""


def test_the_zoo_imports_and_lists_where_robustbench_cannot_be_imported() -> None:
    root = Path(zoo.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=root, capture_output=True, text=True, check=True)
    imported, listed, error = done.stdout.splitlines()
    assert imported == "[]"
    assert listed == "21"
    assert error.startswith("expected the package robustbench to import, got ")


def test_the_public_names_are_few() -> None:
    assert zoo.__all__ == ["Card", "Domain", "Entrant", "EntrantError", "Weights", "entrants", "find"]
