"""Challenges: what is handed in lowers a record by exactly what it breaks, and nothing else of it counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.errors import BadInput
from harness.run.best_known import known_of
from harness.verify.challenge import Challenged, challenged
from harness.verify.replay import replayed
from leaderboards.records.files import read_record, record_files
from leaderboards.records.home import Home
from leaderboards.records.schema import Record
from leaderboards.records.witnesses import read_witnesses

CPU = torch.device("cpu")

HandIn = Callable[..., Challenged]


@pytest.fixture
def home(greys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The home of a record in which AutoAttack broke examples 0 and 1 of eight; 2, 4, 5 and 7 can be broken besides."""
    monkeypatch.chdir(tmp_path)
    found = Home(tmp_path / "out")
    greys.recorded(found, greys.judged("grey"), {0: 0.09, 1: 0.08})
    return found


@pytest.fixture
def hand_in(greys) -> HandIn:
    """Challenges the record of `grey`, whose classifier calls bright what is above 0.5, in a home with a file."""

    def challenge(home: Home, file: Path, who: str = "Ada", how: str = "by hand") -> Challenged:
        return challenged(greys.judged("grey"), greys.suite, file, home.root, CPU, who=who, how=how)

    return challenge


def record_of(home: Home) -> Record:
    (path,) = record_files(home.results)
    return read_record(path)


def write_npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def write_pt(path: Path, held: Any, **options: bool) -> Path:
    torch.save(held, path, **options)
    return path


BREAKING = np.array([0.09, 0.0, 0.09, 0.0, 0.06, 0.0, 0.0, 0.0], np.float32)
"""Breaks examples 0, which AutoAttack broke, 2 and 4; the others stay as they are."""


def as_last(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, 1, 3)


FORMS = {
    "an .npz of image, (N, H, W, C)": lambda at, x: write_npz(at / "a.npz", image=as_last(x)),
    "an .npz of x_adv, (N, C, H, W), double": lambda at, x: write_npz(at / "a.npz", x_adv=x.astype(np.float64)),
    "an .npz with index, in another order": lambda at, x: write_npz(at / "a.npz", image=x[::-1], index=np.arange(8)[::-1]),
    "a .pt of a tensor": lambda at, x: write_pt(at / "a.pt", torch.from_numpy(x)),
    "a .pt of RobustBench's dict": lambda at, x: write_pt(at / "a.pt", {"adv_complete": torch.from_numpy(x)}),
    "a .pt with index": lambda at, x: write_pt(
        at / "a.pt", {"x_adv": torch.from_numpy(x[[4, 2, 0]]), "index": torch.tensor([4, 2, 0])}
    ),
    "a .pt of an array": lambda at, x: write_pt(at / "a.pt", {"image": x}),
    "an old .pt": lambda at, x: write_pt(at / "a.pt", torch.from_numpy(x), _use_new_zipfile_serialization=False),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_file_lowers_what_is_best_known_by_exactly_what_it_breaks(
    greys, hand_in, form: str, home: Home, tmp_path: Path
) -> None:
    found = hand_in(home, FORMS[form](tmp_path, greys.shifted(BREAKING)))
    assert (found.broken, found.known, found.refused) == ((2, 4), (0,), ())
    assert (found.before.value, found.after.value) == (6 / 8, 4 / 8)
    record = record_of(home)
    assert record.best_known is not None
    assert record.best_known.value == found.after
    (one,) = record.best_known.found
    assert (one.source, one.who, one.how, one.witnesses.n) == ("challenge", "Ada", "by hand", 2)
    held = read_witnesses(home.witnesses, one.witnesses)
    assert held.examples.tolist() == [2, 4]
    again = replayed(greys.model(), greys.images(), held, greys.suite.threat, CPU)
    assert again.broken.all(), "what is kept is proof itself"
    assert record.measurements == read_record(home.results / "greys" / "grey.json").measurements


def test_bytes_are_read_as_the_suites_own_bytes_are(greys, hand_in, home: Home, tmp_path: Path) -> None:
    levels = np.rint(255 * greys.shifted(BREAKING)).astype(np.uint8)
    found = hand_in(home, write_npz(tmp_path / "a.npz", image=as_last(levels)))
    assert found.broken == (2, 4)


def test_the_same_file_twice_changes_nothing_and_another_adds_to_it(greys, hand_in, home: Home, tmp_path: Path) -> None:
    file = write_npz(tmp_path / "a.npz", image=greys.shifted(BREAKING))
    hand_in(home, file)
    before = greys.files(home.root)
    again = hand_in(home, file, who="Eve", how="a copy")
    assert (again.broken, again.known) == ((), (0, 2, 4))
    assert (
        "best known stays 50.0 %; none of 8 images breaks anything new (3 of examples that were broken before, 5 "
        in again.line
    )
    assert greys.files(home.root) == before
    more = hand_in(
        home,
        write_npz(tmp_path / "b.npz", image=greys.shifted([0.06, 0.06], np.array([4, 5])), index=np.array([4, 5])),
        "Eve",
    )
    assert (more.broken, more.known, more.after.value) == ((5,), (4,), 3 / 8)
    best = record_of(home).best_known
    assert best is not None
    assert [(one.who, read_witnesses(home.witnesses, one.witnesses).examples.tolist()) for one in best.found] == [
        ("Ada", [2, 4]),
        ("Eve", [5]),
    ]


def test_illegal_images_are_refused_one_by_one_with_the_reason_and_the_number(
    greys, hand_in, home: Home, tmp_path: Path
) -> None:
    x = greys.shifted([0.0, 0.0, 0.15, 0.0, 0.1001, 0.06, 0.0, 0.0])
    x[1, 0, 0, 0] = np.nan
    x[3, 0, 1, 1] = -0.25
    x[6] = np.inf
    found = hand_in(home, write_npz(tmp_path / "a.npz", image=x))
    assert [str(one) for one in found.refused] == [
        "image 1 (example 1): not finite: 1 of 4 values",
        "image 2 (example 2): outside the ball: 0.1500, at most 0.1000",
        "image 3 (example 3): outside [0,1]: values from -0.25 to 0.3",
        "image 4 (example 4): outside the ball: 0.1001, at most 0.1000",
        "image 6 (example 6): not finite: 4 of 4 values",
    ]
    assert found.broken == (5,), "one illegal image takes nothing from a legal one"
    assert found.right == (0, 7)


def test_the_number_of_a_refusal_has_the_digits_that_tell_it_from_the_radius(
    greys, hand_in, home: Home, tmp_path: Path
) -> None:
    x = greys.shifted([0.0, 0.0, 0.100003, 0.0, 0.0, 0.0, 0.0, 0.0])
    (refused,) = hand_in(home, write_npz(tmp_path / "a.npz", image=x)).refused
    assert refused.reason == "outside the ball: 0.100003, at most 0.100000"


class Boom:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("code of the file has run",))


REFUSED = {
    "got no": (lambda at, x: at / "missing.npz", r"expected a file of images, got .*missing\.npz"),
    "another ending": (lambda at, x: at / "out" / "results" / "greys" / "grey.json", r"expected an \.npz or a \.pt file"),
    "another shape": (lambda at, x: write_npz(at / "a.npz", image=x[:, :, :1]), r"got \(8, 1, 1, 2\); hand in "),
    "channels last": (lambda at, x: write_pt(at / "a.pt", torch.from_numpy(as_last(x))), r"got \(8, 2, 2, 1\)"),
    "too many": (lambda at, x: write_npz(at / "a.npz", image=np.concatenate([x, x])), r"expected 1 to 8 images .*got 16;"),
    "none": (lambda at, x: write_npz(at / "a.npz", image=x[:0]), r"expected 1 to 8 images"),
    "whole numbers": (lambda at, x: write_npz(at / "a.npz", image=x.astype(np.int64)), r"got torch\.int64; convert"),
    "words": (lambda at, x: write_npz(at / "a.npz", image=np.array(["a"] * 8)), r"expected plain arrays of numbers"),
    "objects": (lambda at, x: write_npz(at / "a.npz", image=np.array([Boom()], object)), r"Python objects in image"),
    "no images": (lambda at, x: write_npz(at / "a.npz", index=np.arange(8)), r"expected one of image, x_adv, .* got index"),
    "two kinds": (lambda at, x: write_npz(at / "a.npz", image=x, x_adv=x), r"got image, x_adv; rename"),
    "a mistyped index": (lambda at, x: write_npz(at / "a.npz", image=x, idx=np.arange(8)), r"got idx, image; rename"),
    "index beyond": (lambda at, x: write_npz(at / "a.npz", image=x, index=np.arange(1, 9)), r"from 0 to 7 .* got 1 to 8"),
    "index below": (lambda at, x: write_npz(at / "a.npz", image=x, index=np.arange(-1, 7)), r"got -1 to 6"),
    "index twice": (lambda at, x: write_npz(at / "a.npz", image=x[:2], index=np.array([3, 3])), r"each example once"),
    "index of fractions": (lambda at, x: write_npz(at / "a.npz", image=x[:1], index=np.array([0.5])), r"whole numbers"),
    "index of another length": (lambda at, x: write_npz(at / "a.npz", image=x, index=np.arange(3)), r"8 whole numbers"),
    "a .pt that is code": (lambda at, x: write_pt(at / "a.pt", Boom()), r"expected plain tensors in a\.pt, got a pickle that"),
    "a .pt of a list": (lambda at, x: write_pt(at / "a.pt", [torch.from_numpy(x)]), r"got list; write it again"),
    "a .pt of complex numbers": (lambda at, x: write_pt(at / "a.pt", torch.zeros(8, 1, 2, 2, dtype=torch.cfloat)), r"complex"),
    "a .pt that is sparse": (lambda at, x: write_pt(at / "a.pt", torch.from_numpy(x).to_sparse()), r"got Tensor of"),
    "a huge tensor of one number": (
        lambda at, x: write_pt(at / "a.pt", torch.zeros(1).expand(10**6, 1, 1000, 1000)), r"got \(1000000, 1, 1000, 1000\)",
    ),
    "a file of holes": (lambda at, x: hole(at / "a.npz"), r"expected an \.npz of plain arrays in a\.npz, got a zip archive"),
    "a page": (lambda at, x: text(at / "a.pt"), r"got a web page"),
}  # fmt: skip


def hole(path: Path) -> Path:
    with path.open("wb") as stream:
        stream.truncate(2**33)
    return path


def text(path: Path) -> Path:
    path.write_text("<html></html>")
    return path


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_is_no_challenge_is_refused_in_one_line_and_nothing_is_changed(
    greys, hand_in, case: str, home: Home, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make, line = REFUSED[case]
    file, before = make(tmp_path, greys.shifted(BREAKING)), greys.files(home.root)
    with pytest.raises(BadInput, match=line) as refused:
        hand_in(home, file)
    assert "\n" not in str(refused.value)
    assert greys.files(home.root) == before
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(("who", "how"), [("", "x"), ("x", ""), ("  ", "x"), ("x\ny", "x"), ("x", "x" * 2001)])
def test_a_challenge_says_who_found_the_images_and_how(
    greys, hand_in, who: str, how: str, home: Home, tmp_path: Path
) -> None:
    file = write_npz(tmp_path / "a.npz", image=greys.shifted(BREAKING))
    with pytest.raises(BadInput, match=r"expected --(who|how) with 1 to"):
        hand_in(home, file, who, how)


def test_a_record_of_other_weights_of_another_radius_or_without_flags_is_not_challenged(
    greys, hand_in, home: Home, tmp_path: Path
) -> None:
    file = write_npz(tmp_path / "a.npz", image=greys.shifted(BREAKING))
    how = {"who": "Ada", "how": "by hand"}
    with pytest.raises(BadInput, match="expected the record of these weights of grey"):
        challenged(greys.judged("grey", greys.model(0.4)), greys.suite, file, home.root, CPU, **how)
    with pytest.raises(BadInput, match=r"got eps 0\.1 instead of 0\.3"):
        challenged(greys.judged("grey"), replace(greys.suite, eps="0.3"), file, home.root, CPU, **how)
    with pytest.raises(BadInput, match="expected the record of nobody on greys, got none"):
        challenged(greys.judged("nobody"), greys.suite, file, home.root, CPU, **how)
    record = record_of(home)
    path = home.results / "greys" / "grey.json"
    path.write_text(record.model_copy(update={"measurements": {}}).to_json())
    with pytest.raises(BadInput, match="expected AutoAttack in the record of grey, got none"):
        hand_in(home, file)


def test_a_published_record_is_copied_before_it_changes_and_stays_as_it_was(
    greys, hand_in, home: Home, tmp_path: Path
) -> None:
    published = tmp_path / "leaderboards"
    home.root.rename(published)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "robust-energy-harness"\n')
    before = greys.files(published)
    run = Home(tmp_path / "runs")
    idle = hand_in(run, write_npz(tmp_path / "a.npz", image=greys.images().images.numpy()))
    assert (idle.broken, idle.path) == ((), None)
    assert greys.files(run.root) == {}, "nothing is copied where nothing changes"
    found = hand_in(run, write_npz(tmp_path / "b.npz", image=greys.shifted(BREAKING)))
    assert found.broken == (2, 4)
    assert greys.files(published) == before
    copied = record_of(run)
    assert known_of(run, copied).left.tolist() == [False, False, False, True, False, True, True, True]
    assert {one.file for one in copied.bundles.values()} == {path.name for path in run.witnesses.iterdir()}


def test_the_command_tells_what_it_refuses_and_what_is_best_known(harness_here, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    file = write_npz(tmp_path / "a.npz", image=np.full((30, 8, 8, 1), 2.0, np.float32))
    words = ("challenge", "--suite", "digits", "--entrant", "standard", str(file), "--who", "Ada", "--how", "by hand")
    nothing = harness_here(*words, "--out", out)
    assert nothing.returncode == 2
    assert nothing.stderr.startswith("harness: error: expected the record of standard on digits, got none")
    root = str(Path(__file__).resolve().parents[2])
    shown = harness_here(*words, "--out", out, cwd=Path(root))
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0] == "refused: image 0 (example 0): outside [0,1]: values from 2 to 2"
    assert lines[20] == "refused: 10 more; --json names them"
    assert lines[21].endswith("none of 30 images breaks anything new (30 refused)")
    told = json.loads(harness_here(*words, "--out", out, "--json", cwd=Path(root)).stdout)
    assert len(told["refused"]) == 30
    assert told["before"] == told["after"]
    missing = harness_here(*words[:-4], "--out", out, cwd=Path(root))
    assert (missing.returncode, missing.stderr.splitlines()) == (
        2, ["harness: error: expected --who with 1 to 200 characters on one line, got nothing;"
         " say who found the images and how"],
    )  # fmt: skip
