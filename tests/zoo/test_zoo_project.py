"""Own entrants are found from any folder of a project, and from no folder that is somebody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.project import old_folder, own_folder, own_folders, project_root, shown_place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with subfolders, as the working directory; the home is elsewhere."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    deep = tmp_path / "project" / "src" / "deep"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    return tmp_path / "project"


@pytest.mark.parametrize("mark", ["entrants/digits/", "pyproject.toml", ".git/", ".git"])
def test_the_root_of_a_project_is_found_from_below(place: Path, mark: str) -> None:
    assert project_root() == place / "src" / "deep"
    path = place / mark
    if mark.endswith("/"):
        path.mkdir(parents=True)
    else:
        path.touch()
    assert project_root() == place
    assert own_folder() == place / "entrants"
    assert own_folders() == ((place / "entrants",) if mark.startswith("entrants") else ())


def test_entrants_of_a_repository_are_those_of_a_package_in_it(place: Path) -> None:
    (place / ".git").touch()
    (place / "src" / "pyproject.toml").touch()
    assert project_root() == place / "src"
    (place / "entrants").mkdir()
    assert project_root() == place
    (place / "src" / "entrants").mkdir()
    assert project_root() == place / "src"


def test_nobody_looks_above_a_repositorys_root(place: Path) -> None:
    (place / "entrants").mkdir()
    (place / "src" / ".git").mkdir()
    assert project_root() == place / "src"


@pytest.mark.parametrize("closed", ["home", "everybody's"])
def test_the_home_and_a_folder_of_everybody_are_no_project_from_below(
    place: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    (place / "entrants").mkdir()
    if closed == "home":
        monkeypatch.setenv("HOME", str(place))
    else:
        place.chmod(0o777)
    assert project_root() == place / "src" / "deep"
    monkeypatch.chdir(place)
    assert project_root() == place


def test_the_folder_of_before_is_found_and_the_package_of_that_name_is_not(place: Path) -> None:
    folder = Path.cwd() / "zoo"
    assert own_folders() == ()
    folder.mkdir()
    assert own_folders() == (folder,)
    (folder / "__init__.py").touch()
    assert old_folder() is None
    assert own_folders() == ()


def test_places_are_shown_from_the_working_directory_where_they_are_of_the_project(place: Path) -> None:
    (place / "entrants").mkdir()
    assert shown_place(place / "entrants" / "digits") == "../../entrants/digits"
    assert shown_place(Path("mine")) == "mine"
    assert shown_place(place.parent / "other") == str(place.parent / "other")
