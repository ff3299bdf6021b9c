"""Two thousand damaged files, drawn from a seed: each is read or refused in one line, and none runs code.

A sample is drawn in every run of the tests; `-m slow` draws all. A number names one file: the same number, the same file.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from harness.check.baseline import read_baseline
from harness.check.gates import read_gates
from harness.data import datasets
from harness.data.npz import npz_file
from harness.errors import BadInput
from harness.suites.files import read_suite
from harness.suites.suite import SUITES
from harness.training.recipes import read_recipe
from leaderboards.records.arrays import unsound_arrays
from leaderboards.records.collection import collect
from leaderboards.records.files import read_record
from leaderboards.records.home import Home
from leaderboards.records.schema import RecordError
from zoo import Domain, EntrantError
from zoo.architectures import build
from zoo.cards import read_card
from zoo.checkpoints import CheckpointEntrant

ROOT = Path(__file__).resolve().parents[1]
DIGITS = Domain("digits", "digits", "Linf", 10, (1, 8, 8))
ALL, SAMPLE = 2000, 200

PATIENCE = 60
"""Seconds for one file, which takes milliseconds: what is longer does not end."""

REFUSALS = (BadInput, EntrantError, RecordError)

HOSTILE_TEXTS = (
    b"\x1b[2J", b"\xff\xfe", b"\x00", b"\xe2\x80\xae", b"NaN", b"1e999", b"-1", b"9" * 5000, b"[" * 3000, b"{" * 3000, b'"',
    b"null", b"\\ud800", b"../../x", b"true", b"\n", b"[[x]]", b"",
)  # fmt: skip


class Canary:
    """Unpickling it writes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.file), "w")


def damaged(content: bytes, dice: random.Random) -> bytes:
    """The bytes with one to four things done to them: bits turned, parts cut, doubled or replaced, lengths changed."""
    data = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(data) + 1) if dice.random() < 0.5 else dice.randrange(min(len(data), 400) + 1)
        match dice.randrange(6):
            case 0 if place < len(data):
                data[place] ^= 1 << dice.randrange(8)
            case 1:
                del data[place : place + dice.choice((1, 8, 100, len(data)))]
            case 2:
                data[place:place] = data[place : place + dice.randint(1, 60)]
            case 3:
                data[place : place + dice.randint(0, 8)] = dice.choice(HOSTILE_TEXTS)
            case 4:
                data[place : place + 8] = struct.pack("<Q", dice.choice((0, 1, 2**31, 2**40, 2**63, 2**64 - 1)))
            case _:
                data[place : place + 4] = dice.randbytes(4)
    return bytes(data)


def recoded(content: bytes, dice: random.Random) -> bytes:
    """JSON with a value somewhere in it replaced by one of another kind."""
    plain = json.loads(content)
    node, path = plain, []
    while isinstance(node, dict | list) and node and (not path or dice.random() < 0.8):
        key = dice.choice(list(node) if isinstance(node, dict) else range(len(node)))
        path.append((node, key))
        node = node[key]
    holder, key = path[-1]
    holder[key] = dice.choice([None, -1, 1e308, "\x1b[31m\u202e", [], {}, [[]], True, "x" * 5000, {"a": {"b": 1}}])
    return json.dumps(plain).encode()


def repacked(content: bytes, dice: random.Random) -> bytes:
    """A zip archive with one member damaged, left out, or packed again: its checksums are right."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(packed, "w") as new:
        names = old.namelist()
        chosen = dice.choice(names)
        for name in names:
            held = old.read(name)
            if name == chosen:
                if dice.random() < 0.1:
                    continue
                held = damaged(held, dice)
            new.writestr(name, held, dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    return packed.getvalue()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A sound file of every kind."""
    place = tmp_path_factory.mktemp("sound")
    model = build("digits-cnn", 10, (1, 8, 8)).state_dict()
    torch.save({"state_dict": model, "epoch": 3}, place / "a.pt")
    torch.save({"state_dict": model, "more": Canary(place / "ran")}, place / "canary.pt")
    with (place / "canary.pkl").open("wb") as file:
        pickle.dump({"state_dict": Canary(place / "ran")}, file)
    pixels = np.random.default_rng(0).random((4, 8, 8, 1))
    np.savez(place / "a.npz", image=pixels, label=np.arange(4))
    np.savez_compressed(place / "b.npz", image=(pixels * 255).astype(np.uint8), label=np.arange(4))
    np.savez(place / "c.npz", image=np.array([Canary(place / "ran")], dtype=object), label=np.arange(1))
    for suffix in ("png", "jpg"):
        Image.fromarray((pixels[0, ..., 0] * 255).astype(np.uint8)).save(place / f"a.{suffix}")
    return {
        "checkpoint.safetensors": safetensors.torch.save(model),
        "checkpoint.pt": (place / "a.pt").read_bytes(),
        "canary.pt": (place / "canary.pt").read_bytes(),
        "canary.pkl": (place / "canary.pkl").read_bytes(),
        "card.json": (ROOT / "zoo/digits/sat.json").read_bytes(),
        "suite.toml": b'name = "mine"\nbase = "digits"\neps = "8/255"\nexamples = 10\nmeasures = ["standard"]\n',
        "recipe.toml": b'base = "sat-digits"\nlr = 0.05\nepochs = 3\nbeta = 2.0\nschedule = "one-cycle"\n',
        "gates.toml": (ROOT / "baselines/digits/gates.toml").read_bytes(),
        "record.json": (ROOT / "leaderboards/results/digits/sat.json").read_bytes(),
        "baseline.safetensors": (ROOT / "baselines/digits/weat-adv.safetensors").read_bytes(),
        "images.npz": (place / "a.npz").read_bytes(),
        "packed.npz": (place / "b.npz").read_bytes(),
        "canary.npz": (place / "c.npz").read_bytes(),
        "picture.png": (place / "a.png").read_bytes(),
        "picture.jpg": (place / "a.jpg").read_bytes(),
        "ran": str(place / "ran").encode(),
    }


def checkpoint(path: Path) -> None:
    entrant = CheckpointEntrant(path, DIGITS, "digits-cnn")
    entrant.weights()
    entrant.load()


def card(path: Path) -> None:
    read_card(path.rename(path.with_name("sat.json")), "zoo")


def baseline(path: Path) -> None:
    found = read_baseline(path)
    for gate in ("standard", "pgd", "autoattack", "robust"):
        found.flags(gate)


def record(path: Path) -> None:
    results = path.parent / "results"
    (results / "digits").mkdir(parents=True)
    path = path.rename(results / "digits" / "sat.json")
    collected, problems = collect(Home(results.parent))
    assert len(collected) == 1 or len(problems) == 1  # its arrays are not there, which is a problem each
    assert all(f"{problem.file}{problem.message}".isprintable() for problem in problems)
    unsound_arrays(path.parent, read_record(path))


def picture(path: Path) -> None:
    folder = path.parent / "mine" / "test" / "0"
    folder.mkdir(parents=True)
    path.rename(folder / path.name)
    datasets.load("mine", "test", data_dir=path.parent, shape=(1, 8, 8), classes=1)


READERS: dict[str, Callable[[Path], object]] = {
    "checkpoint.safetensors": checkpoint,
    "checkpoint.pt": checkpoint,
    "canary.pt": checkpoint,
    "canary.pkl": checkpoint,
    "card.json": card,
    "suite.toml": read_suite,
    "recipe.toml": lambda path: read_recipe(path, SUITES["digits"]),
    "gates.toml": read_gates,
    "record.json": record,
    "baseline.safetensors": baseline,
    "images.npz": lambda path: npz_file(path, (1, 8, 8), 10),
    "packed.npz": lambda path: npz_file(path, (1, 8, 8), 10),
    "canary.npz": lambda path: npz_file(path, (1, 8, 8), 10),
    "picture.png": picture,
    "picture.jpg": picture,
}


def surprise(number: int, sound: dict[str, bytes], place: Path) -> str:
    """What went wrong with the file of this number; empty where it was read, or refused in one line."""
    dice = random.Random(number)
    name = list(READERS)[number % len(READERS)]
    content, change = sound[name], damaged
    if name.endswith(".json") and dice.random() < 0.6:
        change = recoded
    elif name.endswith((".pt", ".npz")) and dice.random() < 0.6:
        change = repacked
    path = place / str(number) / name
    path.parent.mkdir()
    path.write_bytes(change(content, dice))
    start = time.monotonic()
    try:
        READERS[name](path)
    except REFUSALS as error:
        if len(str(error).splitlines()) != 1:
            return f"{number} {name}: more than a line, {str(error)[:300]!r}"
    except Exception as error:  # noqa: BLE001  whatever it is, it is what this test looks for
        return f"{number} {name}: {type(error).__name__}: {str(error)[:300]}"
    if time.monotonic() - start > PATIENCE:
        return f"{number} {name}: took longer than {PATIENCE} s"
    return f"{number} {name}: code was run" if Path(sound["ran"].decode()).exists() else ""


def surprises(numbers: range, sound: dict[str, bytes], place: Path) -> list[str]:
    return [said for number in numbers if (said := surprise(number, sound, place))]


def test_the_canary_sings_where_a_pickle_is_trusted(sound: dict[str, bytes]) -> None:
    pickle.loads(sound["canary.pkl"])["state_dict"].close()
    ran = Path(sound["ran"].decode())
    assert ran.exists()
    ran.unlink()


@pytest.mark.parametrize("name", [name for name in READERS if not name.startswith("canary")])
def test_the_sound_file_is_read(sound: dict[str, bytes], tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(sound[name])
    READERS[name](tmp_path / name)


def test_a_sample_of_damaged_files_is_read_or_refused_in_a_line(sound: dict[str, bytes], tmp_path: Path) -> None:
    found = surprises(range(SAMPLE), sound, tmp_path)
    assert not found, "\n".join(found)


@pytest.mark.slow
def test_every_damaged_file_is_read_or_refused_in_a_line(sound: dict[str, bytes], tmp_path: Path) -> None:
    found = surprises(range(SAMPLE, ALL), sound, tmp_path)
    assert not found, "\n".join(found)
