"""Checkpoints are told from pages by their first bytes."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import pytest
import safetensors.torch
import torch

from zoo.formats import Content, content, flaw


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_every_form_of_a_pytorch_checkpoint_is_known(tmp_path: Path) -> None:
    tensors = {"weight": torch.ones(3)}
    torch.save(tensors, tmp_path / "new.pt")
    torch.save(tensors, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(tensors, tmp_path / "a.safetensors")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(tensors))
    (tmp_path / "member").write_text("text")
    with tarfile.open(tmp_path / "oldest.tar", "w") as archive:
        archive.add(tmp_path / "member", "sys_info")
    found = {path.name: content(path) for path in tmp_path.iterdir() if path.name != "member"}
    assert found == {
        "new.pt": Content.ZIP,
        "old.pt": Content.PICKLE,
        "plain.pkl": Content.PICKLE,
        "a.safetensors": Content.SAFETENSORS,
        "oldest.tar": Content.TAR,
    }
    assert not any(flaw(tmp_path / name) for name in found)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"<!DOCTYPE html><html>", Content.PAGE),
        (b"\xef\xbb\xbf\n\n  <HTML><head>", Content.PAGE),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', Content.PAGE),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", Content.TEXT),
        ("Zu viele Zugriffe: später noch einmal versuchen".encode() * 20, Content.TEXT),
        (b'{"error": "quota"}', Content.TEXT),
        (b"", Content.EMPTY),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", Content.UNKNOWN),
        (bytes(600), Content.UNKNOWN),
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path: Path, data: bytes, expected: Content) -> None:
    file = written(tmp_path / "a.pt", data)
    assert content(file) is expected
    assert str(expected) in flaw(file)


def test_a_zip_archive_that_breaks_off_is_no_checkpoint(tmp_path: Path) -> None:
    whole = io.BytesIO()
    torch.save({"weight": torch.ones(1000)}, whole)
    file = written(tmp_path / "a.pt", whole.getvalue()[:2000])
    assert flaw(file) == "a zip archive that breaks off"


@pytest.mark.parametrize("size", [9, 40, 200, 4000])
def test_a_safetensors_file_that_breaks_off_is_no_checkpoint(tmp_path: Path, size: int) -> None:
    whole = safetensors.torch.save({"weight": torch.ones(1000)})
    assert flaw(written(tmp_path / "whole.safetensors", whole)) == ""
    said = flaw(written(tmp_path / "a.safetensors", whole[:size]))
    assert said.startswith("a safetensors file that breaks off or is damaged (")
    assert "\n" not in said
