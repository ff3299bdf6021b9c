"""Whether --data-dir is the folder that holds data sets, or one of the data sets itself."""

from __future__ import annotations

from pathlib import Path

from harness.errors import BadInput

SPLITS = ("train", "test", "val")


def is_data_set(folder: Path) -> bool:
    """Whether a folder holds splits and no other folder: <folder>/test/<class>/, or <folder>/test.npz."""
    if not folder.is_dir():
        return False
    inside = list(folder.iterdir())
    folders = {path.name for path in inside if path.is_dir()}
    archives = {path.name for path in inside if path.suffix == ".npz" and path.stem in SPLITS}
    return bool(folders | archives) and folders <= set(SPLITS)


def require_parent(data_dir: Path, name: str) -> None:
    """Raise BadInput where --data-dir names a data set in place of the folder around it, with the words that are meant."""
    if not is_data_set(data_dir):
        return
    folder = data_dir.resolve()
    around = data_dir.parent if data_dir.name else folder.parent
    dataset = "" if folder.name == name else f" --dataset {folder.name}"
    raise BadInput(
        f"expected --data-dir to hold data sets, got {data_dir}, which is a data set itself;"
        f" do: --data-dir {around}{dataset}"
    )
