"""A browser for the tests of pages; and one thread for the arithmetic of each process, set before anything imports torch.

The networks of the tests are small: several threads cost them more time than they save, and xdist runs a process a core.
What the tests start (workers of xdist, workers of a run, command lines) inherits it.
"""

from __future__ import annotations

import os
import shutil
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

for library in ("OMP", "MKL", "OPENBLAS"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

if "torch" in sys.modules:  # a plugin was here first, and torch has read its environment
    sys.modules["torch"].set_num_threads(1)


@pytest.fixture(autouse=True)
def proxies_are_read_again() -> Iterator[None]:
    """urllib keeps the proxies of its first request for the whole process; a test may have set them for itself alone."""
    urllib.request._opener = None  # type: ignore[attr-defined]
    yield
    urllib.request._opener = None  # type: ignore[attr-defined]


QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def without(what: str) -> None:
    """Where a browser cannot be had, say how to get one; in continuous integration that is a failure."""
    reason = f"expected {what}; install it with: pip install playwright, and the system's package chromium"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        without("chromium, chromium-browser or google-chrome on the PATH")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        without("the package playwright")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield launched
        launched.close()


@dataclass
class Visit:
    """An open page, with all that it said on its console and all that it asked for."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    contexts = []

    def open_page(path: Path, width: int = 1280, **options: Any) -> Visit:
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        visited = Visit(context.new_page())
        visited.page.on("console", lambda message: visited.said.append(message.text))
        visited.page.on("pageerror", lambda error: visited.said.append(str(error)))
        visited.page.on("request", lambda request: visited.asked.append(request.url))
        visited.page.goto(path.as_uri())
        return visited

    yield open_page
    for context in contexts:
        context.close()
