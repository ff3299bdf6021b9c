"""Where a check keeps what it measures: a folder of the user's cache, so that a working tree stays as it is.

What lies there can be made again, and may be removed at any time: a check then measures anew. Shards are named by their content
(weights, images, settings), so one folder serves every project, and one that belongs to something else is never taken.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from harness.errors import BadInput, one_line
from harness.run.folders import default_run
from harness.run.store import Store

NAME = "robust-energy-harness"


def user_cache() -> Path:
    """robust-energy-harness in $XDG_CACHE_HOME, else in ~/.cache, ~/Library/Caches (macOS) or %LOCALAPPDATA% (Windows).

    Raises BadInput where the user has no home. A relative XDG_CACHE_HOME is ignored, as its specification asks.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():
        return named / NAME
    try:
        home = Path.home()
    except RuntimeError as error:
        raise BadInput("expected a home with a cache folder, got none; name a folder with --cache") from error
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / NAME
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / NAME
    return home / ".cache" / NAME


def cache_folder(cache: Path | None) -> Path:
    """--cache, else the user's; made, and known to be writable. Raises BadInput where it is not."""
    folder = cache if cache is not None else user_cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BadInput(
            f"expected a folder to write to as --cache, got {folder} ({one_line(error)}); name another with --cache"
        ) from error
    return folder


def run_shards(out: Path | None) -> tuple[Path, ...]:
    """The shards of a run, which a check takes too: of --out, else of runs/ where there are some. Raises BadInput for an --out
    without shards."""
    folder = (out if out is not None else default_run()) / "shards"
    if folder.is_dir():
        return (folder,)
    if out is not None:
        raise BadInput(
            f"expected a run with shards/ in {out}, got none; leave --out away, or say with --cache where to keep shards"
        )
    return ()


def check_store(cache: Path | None, out: Path | None) -> Store:
    """What has been measured: kept under --cache, and taken from the run in --out too, which stays as it is."""
    return Store(cache_folder(cache) / "shards", beside=run_shards(out))
