"""Harmless classes in old checkpoints need no decision; code in them needs one."""

from __future__ import annotations

import argparse
import decimal
import io
import os
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zoo.faults import mismatch, one_line, refused_pickle
from zoo.unpickling import FORCE_SAFE, FORCE_UNSAFE, harmless_globals, unpickling


def saved(content: Any, **options: Any) -> io.BytesIO:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    stream.seek(0)
    return stream


def written_by_numpy_1(content: Any) -> io.BytesIO:
    """The same checkpoint as numpy 1 wrote it: its internals were numpy.core, not numpy._core."""
    source, stream = zipfile.ZipFile(saved(content)), io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    stream.seek(0)
    return stream


OLD_CHECKPOINT = {
    "state_dict": {"weight": torch.arange(3.0)},
    "args": argparse.Namespace(lr=0.1, data=Path("data") / "cifar10", milestones=[50, 75], flags={"adv"}),
    "best": np.float64(0.5329),
    "last": np.float32(0.25),
    "epoch": np.int64(99),
    "done": np.bool_(True),
    "history": np.linspace(0, 1, 5),
    "random": np.random.RandomState(0).get_state(),
}


@pytest.mark.parametrize("new_format", [True, False])
def test_an_old_checkpoint_with_its_command_line_and_numpy_scalars_loads(new_format: bool) -> None:
    with unpickling():
        loaded = torch.load(saved(OLD_CHECKPOINT, _use_new_zipfile_serialization=new_format))
    assert loaded["args"] == OLD_CHECKPOINT["args"]
    assert [loaded[key] for key in ("best", "last", "epoch", "done")] == [0.5329, 0.25, 99, True]
    assert type(loaded["best"]) is np.float64
    assert np.array_equal(loaded["history"], np.linspace(0, 1, 5))
    assert torch.equal(loaded["state_dict"]["weight"], torch.arange(3.0))


def test_a_checkpoint_written_with_numpy_1_loads() -> None:
    stream = written_by_numpy_1({"best": np.float64(0.5), "history": np.ones(2)})
    with pytest.raises(pickle.UnpicklingError):
        torch.load(stream)
    stream.seek(0)
    with unpickling():
        loaded = torch.load(stream)
    assert loaded["best"] == 0.5
    assert np.array_equal(loaded["history"], np.ones(2))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (decimal.Decimal("1"), "decimal.Decimal"),
        (random.Random(), "random.Random"),
        (eval, "eval"),
        (os.system, "posix.system"),
        (np.array([{"an": "object"}], dtype=object), "Can only build"),
    ],
)
def test_any_other_class_is_refused_by_its_name(content: Any, named: str) -> None:
    with unpickling(), pytest.raises(pickle.UnpicklingError) as refused:
        torch.load(saved({"x": content}))
    assert named in refused_pickle(refused.value)
    assert "\n" not in refused_pickle(refused.value)
    assert "\x1b" not in refused_pickle(refused.value)


def test_code_runs_only_where_it_is_allowed(hostile: object, marker: Path) -> None:
    with unpickling(), pytest.raises(pickle.UnpicklingError):
        torch.load(saved(hostile))
    assert not marker.exists()
    with unpickling(allow_pickle=True):
        torch.load(saved(hostile))
    assert marker.exists()


def test_a_library_that_asks_for_unsafe_loading_does_not_get_it(hostile: object, marker: Path) -> None:
    with unpickling(), pytest.raises(pickle.UnpicklingError):
        torch.load(saved(hostile), weights_only=False)
    assert not marker.exists()


@pytest.mark.parametrize("allowed", [True, False])
def test_the_environment_and_the_list_are_put_back(allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FORCE_SAFE, "0")
    monkeypatch.delenv(FORCE_UNSAFE, raising=False)
    before = dict(os.environ), set(torch.serialization.get_safe_globals())  # torch keeps them without an order
    with pytest.raises(KeyError), unpickling(allowed):
        raise KeyError
    assert (dict(os.environ), set(torch.serialization.get_safe_globals())) == before


def test_no_harmless_class_is_the_dtype_of_objects() -> None:
    assert type(np.dtype(object)) not in harmless_globals()
    assert all(callable(entry[0] if isinstance(entry, tuple) else entry) for entry in harmless_globals())


def test_a_newer_pickle_protocol_is_said_to_be_unreadable_not_hostile() -> None:
    stream = saved({"x": 1}, pickle_protocol=4)
    with unpickling(), pytest.raises(pickle.UnpicklingError) as refused:
        torch.load(stream)
    assert refused_pickle(refused.value).startswith("a pickle that weights_only cannot read (Unsupported operand ")


def test_a_mismatch_names_the_first_key_and_the_number_of_each_kind() -> None:
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.BatchNorm1d(4))
    ours = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    with pytest.raises(RuntimeError) as error:
        ours.load_state_dict(theirs.state_dict())
    assert mismatch(error.value) == (
        'missing "1.weight" (4 keys), unexpected "2.weight" (5 keys),'
        " shape [5, 3] where [4, 3] is needed of '0.weight' (2 keys)"
    )


def test_a_long_message_becomes_one_short_line() -> None:
    assert one_line(ValueError("a\n\tb" + " c" * 500)).startswith("a b c c")
    assert len(one_line(ValueError("a" * 500))) == 200
    assert one_line(ValueError()) == "ValueError"
