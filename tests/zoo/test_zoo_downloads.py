"""Downloads through the real gdown and urllib, from a host on this machine that gives pages before it gives files."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo import EntrantError
from zoo.downloads import Downloads

FileHost = Any  # the fixture of conftest.py, which this import mode does not make importable


def checkpoint() -> bytes:
    stream = io.BytesIO()
    torch.save({"weight": torch.ones(100)}, stream)
    return stream.getvalue()


def through_drive(host: FileHost, monkeypatch: pytest.MonkeyPatch) -> Downloads:
    """Drive's own address, answered by the host as a proxy: gdown then does all that it does for Drive."""
    monkeypatch.setenv("http_proxy", host.url)
    monkeypatch.setenv("no_proxy", "")
    return Downloads(drive="http://drive.google.com/uc?id={id}")


def test_a_file_of_drive_is_put_in_place(
    file_host: FileHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file_host.gives(checkpoint())
    path = tmp_path / "cifar10" / "Linf" / "A.pt"
    through_drive(file_host, monkeypatch).from_drive("some-id", path)
    assert file_host.asked == ["http://drive.google.com/uc?id=some-id"]
    assert path.read_bytes() == checkpoint()
    assert os.listdir(path.parent) == ["A.pt"]
    assert capfd.readouterr() == ("", "")
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_quota_page_of_drive_is_refused_and_removed(
    file_host: FileHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "A.pt"
    with pytest.raises(EntrantError) as refused:
        through_drive(file_host, monkeypatch).from_drive("some-id", path)
    assert str(refused.value) == (
        "expected the checkpoint A.pt from http://drive.google.com/uc?id=some-id, got a web page (no permission, or its"
        f" quota is used up); try later, or fetch it with a browser and put it at {path}"
    )
    assert os.listdir(tmp_path) == []


def test_a_page_that_drive_gives_as_the_file_is_refused_and_removed(
    file_host: FileHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = file_host.body
    file_host.gives(page)
    with pytest.raises(EntrantError, match="got a web page"):
        through_drive(file_host, monkeypatch).from_drive("some-id", tmp_path / "A.pt")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("way", ["drive", "hub"])
def test_a_page_of_any_host_is_refused_and_removed(file_host: FileHost, tmp_path: Path, way: str) -> None:
    downloads = Downloads(drive=file_host.url + "/uc?id={id}", hub=file_host.url + "/{file}")
    path = tmp_path / "A.pt"
    with pytest.raises(EntrantError, match=r"expected the checkpoint A\.pt from .* got a web page") as refused:
        downloads.from_drive("x", path) if way == "drive" else downloads.from_hub("https://host/A.pt", path)
    assert "\n" not in str(refused.value)
    assert os.listdir(tmp_path) == []
    file_host.gives(checkpoint())
    downloads.from_drive("x", path) if way == "drive" else downloads.from_hub("https://host/A.pt", path)
    assert os.listdir(tmp_path) == ["A.pt"]
    assert path.read_bytes() == checkpoint()


@pytest.mark.parametrize("status", [404, 503])
def test_a_failing_host_is_one_line_and_leaves_nothing(file_host: FileHost, tmp_path: Path, status: int) -> None:
    file_host.status = status
    with pytest.raises(EntrantError, match=f"got HTTPError: HTTP Error {status}"):
        Downloads(hub=file_host.url + "/{file}").from_hub("https://host/A.pt", tmp_path / "A.pt")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("way", ["drive", "hub"])
def test_a_connection_that_closes_early_leaves_nothing(file_host: FileHost, tmp_path: Path, way: str) -> None:
    file_host.gives(checkpoint()[:500])
    file_host.said_length = len(checkpoint())
    downloads = Downloads(drive=file_host.url + "/uc?id={id}", hub=file_host.url + "/{file}")
    path = tmp_path / "A.pt"
    with pytest.raises(EntrantError, match=r"got .*(500|IncompleteRead)"):
        downloads.from_drive("x", path) if way == "drive" else downloads.from_hub("https://host/A.pt", path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("way", ["drive", "hub"])
def test_no_host_at_all_is_one_line(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    nowhere = "http://127.0.0.1:9"  # the discard port: nothing listens
    downloads = Downloads(drive=nowhere + "/uc?id={id}", hub=nowhere + "/{file}")
    with pytest.raises(EntrantError, match=r"got (ConnectionError|URLError): ") as refused:
        downloads.from_drive("x", tmp_path / "A") if way == "drive" else downloads.from_hub("u", tmp_path / "A")
    assert "\n" not in str(refused.value)


def test_the_sha256_in_a_files_name_is_held_against_it(file_host: FileHost, tmp_path: Path) -> None:
    file_host.gives(checkpoint())
    downloads = Downloads(hub=file_host.url + "/{file}")
    digest = hashlib.sha256(checkpoint()).hexdigest()
    downloads.from_hub("u", tmp_path / f"net-{digest[:8]}.pth")
    downloads.from_hub("u", tmp_path / "deit-b.pth")  # a b that is no hash
    with pytest.raises(EntrantError, match="a file whose sha256 is not the one in its name"):
        downloads.from_hub("u", tmp_path / "net-00000000.pth")
    assert sorted(os.listdir(tmp_path)) == ["deit-b.pth", f"net-{digest[:8]}.pth"]


def test_a_download_is_logged_not_printed(
    file_host: FileHost, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    file_host.gives(checkpoint())
    with caplog.at_level(logging.INFO, logger="zoo"):
        Downloads(hub=file_host.url + "/{file}").from_hub("u", tmp_path / "A.pt")
    assert [record.getMessage() for record in caplog.records] == [
        f"downloading {tmp_path / 'A.pt'} from {file_host.url}/A.pt"
    ]
    assert capfd.readouterr() == ("", "")
