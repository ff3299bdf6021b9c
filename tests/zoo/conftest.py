"""A file host on this machine, and checkpoints that do something when they are unpickled."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from zoo import Domain

QUOTA_PAGE = (
    b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>Too many</body></html>"
)


@dataclass
class FileHost:
    """Answers every GET with `body`; keeps the addresses that were asked for."""

    url: str = ""
    body: bytes = QUOTA_PAGE
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "text/html; charset=utf-8"})
    status: int = 200
    said_length: int | None = None
    asked: list[str] = field(default_factory=list)

    def gives(self, body: bytes) -> None:
        self.body = body
        self.headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": 'attachment; filename="a.pt"',
        }


@pytest.fixture
def file_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileHost]:
    host = FileHost()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.asked.append(self.path)
            self.send_response(host.status)
            for name, value in host.headers.items():
                self.send_header(name, value)
            length = len(host.body) if host.said_length is None else host.said_length
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(host.body)

        def log_message(self, *_: object) -> None:
            pass

    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    host.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield host
    server.shutdown()
    server.server_close()
    thread.join()


class Hostile:
    """Unpickling it writes `marker`."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.marker}'",)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "code-has-run"


@pytest.fixture
def hostile(marker: Path) -> Hostile:
    return Hostile(marker)


@pytest.fixture
def digits() -> Domain:
    return Domain("digits", "digits", "Linf", 10, (1, 8, 8))


@pytest.fixture
def cifar10() -> Domain:
    return Domain("cifar10-linf", "cifar10", "Linf", 10, (3, 32, 32))
