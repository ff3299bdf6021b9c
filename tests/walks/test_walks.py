"""Five users' walks: scripts that type what such a user types, in a fresh folder without a network, and look at what he sees.

In part each takes half a minute of one core (`tox -e walks`), whole it does all that the user would do
(`python -m pytest -m "walks and slow"`). By hand: `tests/walks/newcomer.sh`, or `tests/walks/newcomer.sh whole`; they need
`harness` and `python` of one environment on the PATH, and GNU's tools.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.walks

WALKS = ("newcomer", "student", "maintainer", "lab", "trainer")
HOURS = {"part": 0.5, "whole": 3}

HARNESS = f"""#!{sys.executable}
import sys
from harness.cli import main
if __name__ == "__main__":  # workers import this file again
    sys.exit(main())
"""


@pytest.fixture
def walk(tmp_path: Path) -> Callable[[str, str], None]:
    """Walk as a user does, whose PATH has this environment first, as when it is activated."""
    binaries, place = tmp_path / "bin", tmp_path / "tmp"
    for folder in (binaries, place):
        folder.mkdir()
    # as pip installs it: not `python -m harness`, which would take a harness/ of the working directory
    for name, text in {"harness": HARNESS, "python": f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'}.items():
        (binaries / name).write_text(text)
        (binaries / name).chmod(0o755)
    path = os.pathsep.join([str(binaries), str(Path(sys.executable).parent), os.environ["PATH"]])

    def run(name: str, extent: str) -> None:
        script = Path(__file__).with_name(f"{name}.sh")
        done = subprocess.run(
            ["bash", str(script), extent], cwd=tmp_path, env={**os.environ, "PATH": path, "TMPDIR": str(place)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=HOURS[extent] * 3600,
        )  # fmt: skip
        assert done.returncode == 0, "\n".join(done.stdout.splitlines()[-80:])
        assert list(place.glob("tmp.*/project")) == [], "a walk that ends well takes its folder with it"

    return run


@pytest.mark.parametrize("user", WALKS)
def test_a_user_gets_what_he_wants_in_part(user: str, walk: Callable[[str, str], None]) -> None:
    walk(user, "part")


@pytest.mark.slow
@pytest.mark.parametrize("user", WALKS)
def test_a_user_gets_what_he_wants_whole(user: str, walk: Callable[[str, str], None]) -> None:
    walk(user, "whole")
