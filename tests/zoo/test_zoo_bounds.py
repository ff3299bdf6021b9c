"""Files that say they are large, or that unpack to what is large, are refused before they are read."""

from __future__ import annotations

import json
import resource
import struct
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch

from zoo import Card, Domain, EntrantError
from zoo.architectures import ARCHITECTURES, build
from zoo.bounds import MOST_LISTED, zip_flaw
from zoo.checkpoints import CheckpointEntrant, most_bytes
from zoo.formats import flaw
from zoo.own_entrants import save_entrant

GIGABYTE = 2**30


def refusal(path: Path, domain: Domain) -> str:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = []
    for act in (
        CheckpointEntrant(path, domain, "digits-cnn").weights,
        CheckpointEntrant(path, domain, "digits-cnn").load,
    ):
        with pytest.raises(EntrantError) as caught:
            act()
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "\n" not in said[0]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024, "kilobytes, by the system's count"
    return said[0]


def sparse(path: Path, start: bytes, size: int) -> Path:
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)
    return path


def test_forty_gigabytes_of_holes_are_not_read(tmp_path: Path, digits: Domain) -> None:
    header = json.dumps(
        {"a": {"dtype": "U8", "shape": [40 * GIGABYTE - 100], "data_offsets": [0, 40 * GIGABYTE - 100]}}
    )
    start = struct.pack("<Q", len(header)) + header.encode()
    for name, head in (("a.safetensors", start), ("a.pt", b"\x80\x02"), ("zip.pt", b"PK\x03\x04")):
        assert "got a file of 42.9 GB, where at most 69.6 MB can be needed" in refusal(
            sparse(tmp_path / name, head, 40 * GIGABYTE), digits
        )


@pytest.mark.parametrize("length", [MOST_LISTED + 1, 90 * 2**20])
def test_a_header_of_very_many_keys_is_not_read(tmp_path: Path, digits: Domain, length: int) -> None:
    path = sparse(tmp_path / "a.safetensors", struct.pack("<Q", length) + b'{"', min(length + 8, 2**26))
    said = refusal(path, digits)
    assert "a header of " in said or "its header is longer than the file" in said


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, digits: Domain) -> None:
    torch.save({"weight": torch.ones(4)}, tmp_path / "small.pt")
    with (
        zipfile.ZipFile(tmp_path / "small.pt") as small,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bomb,
    ):
        for name in small.namelist():
            if name.endswith("data/0"):
                with bomb.open(name, "w", force_zip64=True) as entry:
                    for _ in range(300):
                        entry.write(bytes(2**20))
            else:
                bomb.writestr(name, small.read(name))
    assert (tmp_path / "bomb.pt").stat().st_size < 2**21
    assert "that holds 314.6 MB, where at most 69.6 MB can be needed" in refusal(tmp_path / "bomb.pt", digits)
    assert "which is too much of one so small" in flaw(tmp_path / "bomb.pt")


def test_a_zip_directory_of_very_many_files_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(b"PK\x03\x04" + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 9, 9, MOST_LISTED + 1, 0, 0))
    assert zip_flaw(path, GIGABYTE).startswith("a zip archive with a directory of 4.2 MB")


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - {"wrn-28-10", "wrn-34-10"}))
def test_a_real_checkpoint_with_an_optimiser_beside_it_is_within_its_bound(tmp_path: Path, architecture: str) -> None:
    shape = (1, 8, 8) if architecture == "digits-cnn" else (3, 32, 32)
    model = build(architecture, 10, shape)
    optimiser = torch.optim.Adam(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    torch.save({"state_dict": model.state_dict(), "optimiser": optimiser.state_dict()}, tmp_path / "a.pt")
    safetensors.torch.save_file(model.state_dict(), tmp_path / "a.safetensors")
    for name in ("a.pt", "a.safetensors"):
        assert flaw(tmp_path / name, most_bytes(architecture, 10, shape)) == ""


def test_asking_what_a_network_needs_leaves_random_numbers_alone(digits: Domain) -> None:
    before = torch.random.get_rng_state()
    most_bytes.__wrapped__("digits-cnn", digits.classes, digits.shape)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_card_of_holes_is_one_line(tmp_path: Path, digits: Domain) -> None:
    save_entrant(tmp_path / "mine", build("digits-cnn", 10, (1, 8, 8)), Card("mine", "zoo", "digits-cnn"), digits)
    sparse(tmp_path / "mine.json", b"{", 20 * GIGABYTE)
    with pytest.raises(EntrantError, match=r"^expected a card in \S+, got a file of 21\.5 GB"):
        _ = CheckpointEntrant(tmp_path / "mine.safetensors", digits).card


def test_control_characters_of_a_file_are_not_printed(tmp_path: Path, digits: Domain) -> None:
    torch.save({"\x1b]0;mine\x07\x9b2J\u202e": 3}, tmp_path / "a.pt")
    with pytest.raises(EntrantError) as caught:
        CheckpointEntrant(tmp_path / "a.pt", digits, "digits-cnn").load()
    from zoo.faults import one_line

    assert one_line(caught.value, 1000).isprintable()
    assert r"\x1b]0;mine\x07\x9b2J\u202e" in one_line(caught.value, 1000)
