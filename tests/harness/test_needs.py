"""Before anything is downloaded: what is missing, how large it is, where it belongs, what runs without, and no folder left."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
import re
import shutil
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets as tv

from harness.data import archives, datasets
from harness.data.archives import fetch
from harness.errors import BadInput
from harness.measures import MEASURES
from harness.run.needs import as_bytes, data_need, needs, weights_need
from harness.run.outline import Outline
from harness.run.selection import Faults
from harness.run.session import Request, begin
from harness.suites.suite import PAPER_ENTRANTS, SUITES
from zoo.catalogue import entrants, find
from zoo.folders import require_writable
from zoo.own_entrants import own_entrants
from zoo.robustbench import RobustBenchEntrant, import_robustbench
from zoo.sizes import about

NOWHERE = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
"""A proxy that refuses: whoever asks a host is refused at once."""


def left(place: Path) -> list[str]:
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*"))


# ---------------------------------------------------------------- what a newcomer sees


def test_a_run_with_nothing_here_is_one_table_of_what_is_missing(harness, tmp_path: Path) -> None:
    place = tmp_path / "cwd"
    result = harness("run", "--suite", "cifar10", **NOWHERE)
    assert (result.returncode, result.stdout) == (2, "")
    told = result.stderr
    assert told.count("┃ missing ") == 1
    assert "170 MB" in told
    assert "data/cifar10/cifar-10-python.tar.gz" in told
    assert "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz" in told
    for spec in PAPER_ENTRANTS:
        name = spec.removeprefix("robustbench:")
        (row,) = [line for line in told.splitlines() if f"│ {name} " in line]
        assert f"models/cifar10/Linf/{name}.pt" in row
        assert re.search(r"about [\d.]+ [MG]B", row)
        assert "https://drive.google.com/uc?id=" in row
    assert "fetch all of it, and measure: harness run --suite cifar10 --download\n" in told
    assert "but the data (170 MB): harness run --suite cifar10 --entrants sat-compact --download\n" in told
    assert "runs with nothing: harness run --suite digits\n" in told
    assert re.search(r"about 2\.\d GB to fetch \(2\.\d GB on disk, .* free in ", told)
    assert told.splitlines()[-1] == (
        "harness: error: expected the data set cifar10 and the weights of 9 entrants, got none of that here;"
        " pass --download, or put it there by hand"
    )
    assert left(place) == []


def test_a_dry_run_with_nothing_here_prints_the_plan_all_the_same(harness_here) -> None:
    result = harness_here(
        "run", "--suite", "cifar10", "--entrants", "sat-compact,Standard", "--limit", "600", "--dry-run", **NOWHERE
    )
    assert result.returncode == 2
    rows = [re.split(r"\s*│\s*", line)[1:-1] for line in result.stdout.splitlines() if line.startswith("│")]
    cost = MEASURES["autoattack"].cost(10)
    for name in ("sat-compact", "Standard"):
        assert [row[1] for row in rows if row[0] == name] == list(SUITES["cifar10"].measures)
        assert [name, "autoattack", "3", "3", f"{600 * cost.forward:,}", f"{600 * cost.backward:,}"] in rows
    assert "where it belongs" in result.stderr
    assert left(Path.cwd()) == []


def test_the_plan_of_what_is_not_here_is_the_one_that_is_made_when_it_is(digits_plan) -> None:
    from harness.run.report import plan_rows

    plan = digits_plan
    outline = Outline(plan.suite, plan.measures, tuple(one.name for one in plan.judged), plan.limit)
    assert outline.rows() == plan_rows(plan, plan.tasks)


@pytest.fixture
def digits_plan(tmp_path: Path):
    suite = SUITES["digits"]
    request = Request(
        suite=suite,
        measures=tuple(MEASURES[name] for name in suite.measures),
        entrants=own_entrants(suite.domain)[:2],
        named=True,
        out=tmp_path / "out",
        device=torch.device("cpu"),
        data_dir=tmp_path,
        limit=150,
    )
    assert request.needs.missing == ()
    session = begin(request, Faults(print))
    assert session is not None
    return session.plan


def test_the_command_that_fetches_is_the_one_that_was_typed(harness_here) -> None:
    result = harness_here(
        "run",
        "--suite",
        "cifar10",
        "--entrants",
        "Standard",
        "--limit",
        "5",
        "--data-dir",
        "my data",
        "--dry-run",
        **NOWHERE,
    )
    wanted = "harness run --suite cifar10 --entrants Standard --limit 5 --data-dir 'my data' --download\n"
    assert f"fetch all of it, and measure: {wanted}" in result.stderr
    assert "my data/cifar10/cifar-10-python.tar.gz" in result.stderr


def test_data_that_has_no_download_says_how_it_is_unpacked(harness_here) -> None:
    entrant = ("--entrants", "python:zoo.pyautoattack:resnet18")
    for flags in ((), ("--download",)):
        result = harness_here("run", "--suite", "tiny-imagenet", *entrant, *flags, **NOWHERE)
        assert result.returncode == 2
        assert "--download, or" not in result.stderr
        assert "put it there by hand" in result.stderr
    assert left(Path.cwd()) == []


def test_what_is_listed_says_size_path_and_address(harness_here) -> None:
    result = harness_here("list", "entrants", "--suite", "cifar10", "--json", **NOWHERE)
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    (file,) = rows["Wang2023Better_WRN-70-16"]["files_missing"]
    assert file["path"] == str(Path.cwd() / "models" / "cifar10" / "Linf" / "Wang2023Better_WRN-70-16.pt")
    assert file["address"].startswith("https://drive.google.com/uc?id=")
    assert rows["Wang2023Better_WRN-70-16"]["bytes"] == 1_067_502_080
    here = rows["sat-compact"]
    assert (here["files_here"], here["bytes"], here["files_missing"], here["weights"]) == (True, 0, [], "here")


def test_a_failed_start_of_any_verb_leaves_no_folder(harness_here, tmp_path: Path) -> None:
    cifar = ("--suite", "cifar10")
    (tmp_path / "x.npz").write_bytes(b"")
    commands = [
        ("run", *cifar, "--entrants", "sat-compact", "--download"),
        ("run", *cifar, "--entrants", "Standard", "--download"),
        ("run", "--suite", "digits", "--entrants", "checkpoint:nowhere.pt@digits-cnn", "--out", "a/b/c"),
        ("train", *cifar, "--recipe", "sat"),
        ("train", *cifar, "--recipe", "sat", "--download", "--out", "mine"),
        ("check", *cifar, "--entrant", "sat-compact", "--baseline", "nowhere", "--download"),
        ("check", "--suite", "digits", "--entrant", "sat", "--baseline", "nowhere"),
        ("baseline", "--suite", "digits", "--entrant", "nobody"),
        ("verify", "nowhere"),
        ("challenge", str(tmp_path / "x.npz"), "--suite", "cifar10", "--entrant", "sat-compact", "--download"),
        ("experiment", "seeds", *cifar, "--recipes", "sat", "--seeds", "0,1", "--download"),
        ("experiment", "sampling", *cifar, "--entrant", "sat-compact", "--download"),
        ("publish", "nowhere", "--to", "there"),
    ]
    for command in commands:
        result = harness_here(*command, **NOWHERE)
        assert result.returncode == 2, (command, result.stderr)
        assert re.search("harness: error: .*expected .*got ", result.stderr), (command, result.stderr)
        assert left(Path.cwd()) == [], (command, result.stderr)


def test_a_run_whose_only_entrant_does_not_load_offers_no_page_and_leaves_no_folder(harness_here) -> None:
    torch.save({"0.weight": torch.zeros(16, 1, 3, 3), "0.bias": torch.zeros(16)}, "half.pt")
    result = harness_here(
        *("run", "--suite", "digits", "--entrants", "checkpoint:half.pt@digits-cnn", "--measures", "standard"),
        *("--workers", "0"),
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert "expected the tensors of digits-cnn" in result.stderr
    assert left(Path.cwd()) == ["half.pt"]


def test_judging_from_python_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import harness

    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"expected the data set cifar10 under .*cifar-10-python\.tar\.gz"):
        harness.judge("sat-compact", suite="cifar10", out="runs")
    assert left(tmp_path) == []


def test_a_folder_that_cannot_be_written_to_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    require_writable(tmp_path / "new" / "er")
    for wrong in ("file", "file/in", "x" * 300):
        with pytest.raises(OSError, match=r"Not a directory|File exists|name too long"):
            require_writable(tmp_path / wrong)
    assert left(tmp_path) == ["file"]


# ---------------------------------------------------------------- files that are here


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-10 of ten images a batch and MNIST of four: their archives, known to torchvision and to the harness."""
    source = tmp_path / "source"
    batches = source / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    data = np.random.default_rng(0).integers(0, 256, (10, 3072), dtype=np.uint8)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for name in names:
        (batches / name).write_bytes(pickle.dumps({"data": data, "labels": list(range(10))}))
    (batches / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"name-{k}" for k in range(10)]}))
    archive = source / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(batches, "cifar-10-batches-py")
    sums = {name: md5(batches / name) for name in (*names, "batches.meta")}
    monkeypatch.setattr(tv.CIFAR10, "train_list", [[name, sums[name]] for name in names[:5]])
    monkeypatch.setattr(tv.CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(tv.CIFAR10, "meta", {**tv.CIFAR10.meta, "md5": sums["batches.meta"]})
    monkeypatch.setattr(tv.CIFAR10, "tgz_md5", md5(archive))
    sizes = {archive.name: archive.stat().st_size}
    resources = []
    for which in ("train", "t10k"):
        for kind, array in (
            ("images-idx3", data[:4, :784].reshape(4, 28, 28)),
            ("labels-idx1", np.arange(4, dtype=np.uint8)),
        ):
            path = source / f"{which}-{kind}-ubyte.gz"
            head = bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape)
            path.write_bytes(gzip.compress(head + array.tobytes()))
            resources.append((path.name, md5(path)))
            sizes[path.name] = path.stat().st_size
    monkeypatch.setattr(tv.MNIST, "resources", resources)
    monkeypatch.setattr(archives, "SIZES", {**archives.SIZES, **sizes})
    shutil.rmtree(batches)
    return source


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def host(small: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A host that gives the small archives; the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            path = small / self.path.rpartition("/")[2]
            body = path.read_bytes() if path.is_file() else b"<html>"
            self.send_response(200 if path.is_file() else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("no_proxy", "*")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(tv.CIFAR10, "url", f"{address}/cifar-10-python.tar.gz")
    monkeypatch.setattr(tv.MNIST, "mirrors", [f"{address}/gone/x/", f"{address}/"])
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield asked
    server.shutdown()
    server.server_close()
    thread.join()


def cifar10(data_dir: Path, *, download: bool = False) -> int:
    return len(datasets.load("cifar10", "test", data_dir=data_dir, shape=(3, 32, 32), classes=10, download=download))


def test_data_is_fetched_once_and_whole(host: list[str], tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    assert data_need("cifar10", "test", data_dir).here is False
    assert cifar10(data_dir, download=True) == 10
    assert set(host) == {"/cifar-10-python.tar.gz"}
    assert data_need("cifar10", "test", data_dir).here
    host.clear()
    assert cifar10(data_dir, download=True) == 10
    assert host == []
    assert left(data_dir)[:2] == ["cifar10", "cifar10/cifar-10-batches-py"]
    assert not any("download" in name for name in left(data_dir))


@pytest.mark.parametrize("below", ["", "cifar10"])
def test_an_archive_that_was_fetched_by_hand_is_unpacked_and_no_host_is_asked(
    host: list[str], small: Path, tmp_path: Path, below: str
) -> None:
    place = tmp_path / "data" / below
    place.mkdir(parents=True)
    shutil.copy(small / "cifar-10-python.tar.gz", place)
    assert data_need("cifar10", "test", tmp_path / "data").here
    assert cifar10(tmp_path / "data") == 10
    assert host == []


def test_half_an_archive_is_named_with_both_sizes_and_fetched_again_where_that_is_asked_for(
    host: list[str], small: Path, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    (data_dir / "cifar10").mkdir(parents=True)
    half, whole = data_dir / "cifar10" / "cifar-10-python.tar.gz", (small / "cifar-10-python.tar.gz").read_bytes()
    half.write_bytes(whole[:100])
    message = f"expected {len(whole):,} bytes in {half}, got 100"
    (file,) = data_need("cifar10", "test", data_dir).files
    assert file.flaw == message
    with pytest.raises(BadInput, match=re.escape(message)):
        cifar10(data_dir)
    half.write_bytes(bytes(len(whole)))
    with pytest.raises(BadInput, match=rf"expected the MD5 sum {md5(small / half.name)} of \S+, got {md5(half)}"):
        cifar10(data_dir)
    assert host == []
    assert cifar10(data_dir, download=True) == 10
    assert half.read_bytes() == whole


def test_half_a_batch_that_was_unpacked_is_named(host: list[str], tmp_path: Path) -> None:
    assert cifar10(tmp_path, download=True) == 10
    shutil.move(tmp_path / "cifar10" / "cifar-10-batches-py", tmp_path)
    (tmp_path / "cifar10" / "cifar-10-python.tar.gz").unlink()
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    sound = md5(batch)
    batch.write_bytes(batch.read_bytes()[:50])
    with pytest.raises(BadInput, match=rf"expected the MD5 sum {sound} of {batch}, got {md5(batch)}"):
        cifar10(tmp_path)


def test_mnist_comes_from_the_next_mirror_and_half_of_it_is_named(host: list[str], tmp_path: Path) -> None:
    def mnist() -> list[int]:
        found = datasets.load("mnist", "test", data_dir=tmp_path, shape=(1, 28, 28), classes=10, download=True)
        return found.labels.tolist()

    assert mnist() == [0, 1, 2, 3]
    assert any(path.startswith("/gone/") for path in host)
    raw = tmp_path / "mnist" / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    raw.write_bytes(raw.read_bytes()[:1000])
    with pytest.raises(BadInput, match=rf"expected 3,152 bytes in {raw}, got 1,000; remove it"):
        mnist()


def test_a_download_that_fails_names_address_and_path_and_leaves_nothing(
    host: list[str], small: Path, tmp_path: Path
) -> None:
    (small / "cifar-10-python.tar.gz").unlink()
    path = tmp_path / "data" / "cifar10" / "cifar-10-python.tar.gz"
    with pytest.raises(
        BadInput, match=rf"from http://127\S+, got .*404.*; fetch it with a browser and put it at {path}$"
    ):
        cifar10(tmp_path / "data", download=True)
    (small / "cifar-10-python.tar.gz").write_bytes(b"half")
    with pytest.raises(BadInput, match=r"expected [\d,]+ bytes in cifar-10-python\.tar\.gz, got 4; fetch"):
        cifar10(tmp_path / "data", download=True)
    assert not (tmp_path / "data").exists()


def test_too_little_room_is_told_before_a_host_is_asked(
    host: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(BadInput, match=r"bytes free in .* for cifar10, got 1,000; make room"):
        fetch("cifar10", archives.archives("cifar10"), tmp_path / "cifar10")
    entrant = find("Standard", SUITES["cifar10"].domain, model_dir=tmp_path)
    with pytest.raises(BadInput, match=r"expected \d+ MB free in .*, got 1\.0 kB; make room"):
        needs([entrant], SUITES["cifar10"], tmp_path).require_room()
    assert host == []


def test_the_pages_that_hosts_give_for_weights_are_named(tmp_path: Path) -> None:
    entrant = find("Standard", SUITES["cifar10"].domain, model_dir=tmp_path)
    (file,) = weights_need(entrant).files
    file.path.parent.mkdir(parents=True)
    file.path.write_text("<!DOCTYPE html>quota")
    (wrong,) = weights_need(entrant).files
    assert re.fullmatch(rf"expected a checkpoint in {file.path}, got a web page .*", wrong.flaw)


# ---------------------------------------------------------------- sizes and addresses


def test_archives_are_those_that_torchvision_fetches() -> None:
    for name in ("cifar10", "cifar100", "mnist", "svhn"):
        for split in ("train", "test"):
            for file in archives.archives(name, split):
                assert file.size > 4000
                assert re.fullmatch("[0-9a-f]{32}", file.md5)
                assert all(address.endswith(Path(file.name).name) for address in file.addresses)
    assert archives.archives("digits") == ()


def test_every_suites_entrants_have_a_size_and_an_address(tmp_path: Path) -> None:
    known = 0
    for name in ("cifar10", "cifar10-l2", "cifar100", "imagenet"):
        domain = SUITES[name].domain
        for entrant in entrants(domain, model_dir=tmp_path):
            if not isinstance(entrant, RobustBenchEntrant) or entrant.name.startswith("Bai2023Improving"):
                continue  # these are built on a GPU alone
            size = about(entrant.dataset, entrant.threat, entrant.name)
            assert (size or 0) > 10_000_000, entrant.name
            known += 1
            need = weights_need(entrant)
            if not need.here:
                assert all(file.address.startswith("https://") for file in need.files), entrant.name
    assert known == 162


def test_a_recorded_size_is_that_of_the_networks_tensors() -> None:
    for threat, name in (("Linf", "Andriushchenko2020Understanding"), ("L2", "Rice2020Overfitting")):
        with torch.device("meta"):
            model = import_robustbench()["cifar10", threat][name]["model"]()
        tensors = model.state_dict().values()
        assert sum(tensor.numel() * tensor.element_size() for tensor in tensors) == about("cifar10", threat, name)


def test_the_page_on_data_has_each_file_where_it_is_looked_for(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    for name in ("cifar10", "cifar10-l2", "cifar100", "imagenet"):
        for spec in SUITES[name].entrants:
            need = weights_need(find(spec, SUITES[name].domain, model_dir=tmp_path / "models"))
            for file in need.files:
                below = file.path.is_relative_to(tmp_path)
                place = file.path.relative_to(tmp_path) if below else f"<torch hub>/checkpoints/{file.path.name}"
                (row,) = [row for row in rows if f"`{place}`" in row]
                assert f"<{file.address}>" in row
                assert need.size_text in row
    for name in ("mnist", "cifar10", "cifar100", "svhn", "tiny-imagenet", "imagenet"):
        for split in ("test", "train"):
            for file in archives.archives(name, split):
                (row,) = [row for row in rows if f"<{file.addresses[0]}>" in row]
                assert as_bytes(file.size) in row
                assert f"`{file.then or f'{name}/{file.name}'}" in row


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (170_498_071, "170 MB"),
        (999_700_000, "1.0 GB"),
        (2**41, "2.2 TB"),
    ],
)
def test_bytes_are_read_in_powers_of_a_thousand(size: int, text: str) -> None:
    assert as_bytes(size) == text
