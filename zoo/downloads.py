"""Downloads of checkpoints: to a temporary name beside the destination, looked at, and moved in place only when good.

A file under its final name has therefore been looked at, whatever happened on the way: a page in its place, a
connection that broke off, a process that was killed.
"""

from __future__ import annotations

import http.client
import logging
import os
import re
import shutil
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zoo.entrant import EntrantError, sha256_of_file
from zoo.faults import one_line
from zoo.formats import flaw

log = logging.getLogger(__name__)

HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.")
"""The start of the sha256 in a file's name, as torch.hub writes it; shorter ones are chance ("deit-b.pth")."""


@dataclass(frozen=True)
class Downloads:
    """Where files come from. Change the templates to use a mirror.

    `drive` is filled with a Google Drive file's `id`; `hub` with a file's `url` and its `file` name.
    """

    drive: str = "https://drive.google.com/uc?id={id}"
    hub: str = "{url}"
    timeout: float = 60.0

    def from_drive(self, file_id: str, path: Path) -> None:
        """Put a file of Google Drive at `path`. Raises EntrantError when what comes is not a checkpoint."""
        url = self.drive.format(id=file_id)
        _place(path, url, lambda part: _gdown(url, part))

    def from_hub(self, url: str, path: Path, sha256: str = "") -> None:
        """Put a file of a plain web address at `path`; its sha256 is checked where it is given, or the file's name holds it."""
        url = self.hub.format(url=url, file=path.name)
        _place(path, url, lambda part: _urllib(url, part, self.timeout), sha256)


def _place(path: Path, url: str, get: Callable[[Path], None], sha256: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    log.info("downloading %s from %s", path, url)
    # a folder of its own: the part files of gdown and of this module go with it, however this ends
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as folder:
        part = Path(folder) / path.name
        try:
            get(part)
        except EntrantError:
            raise
        except (OSError, http.client.HTTPException) as error:  # requests' errors are OSErrors
            raise EntrantError(_refused(path, url, f"{type(error).__name__}: {one_line(error)}")) from error
        problem = flaw(part) if part.is_file() else "nothing"
        prefix = HASH_IN_NAME.search(path.name)
        if not problem and prefix and not sha256_of_file(part).startswith(prefix[1]):
            problem = "a file whose sha256 is not the one in its name"
        if not problem and sha256 and (got := sha256_of_file(part)) != sha256:
            problem = f"other bytes than its card names (sha256 {got[:16]}, not {sha256[:16]})"
        if problem:
            raise EntrantError(_refused(path, url, problem))
        os.replace(part, path)


def _gdown(url: str, part: Path) -> None:
    import gdown  # here, because it takes a while to import and most runs download nothing
    from gdown.exceptions import FileURLRetrievalError

    try:
        # an open file, because gdown leaves its own open when a connection breaks; quiet, because it prints; no
        # cookies, because they would be written to the user's home
        with part.open("wb") as handle:
            gdown.download(url=url, output=handle, quiet=True, use_cookies=False)
    except FileURLRetrievalError as error:
        raise EntrantError(_refused(part, url, "a web page (no permission, or its quota is used up)")) from error
    except KeyError as error:  # gdown reads headers that a failing server does not send
        raise EntrantError(_refused(part, url, f"an answer without the header {error}")) from error


def _urllib(url: str, part: Path, timeout: float) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "Mozilla/5.0"})
    with urllib.request.urlopen(request, timeout=timeout) as answer, part.open("wb") as handle:
        shutil.copyfileobj(answer, handle, 1 << 20)
        expected = answer.headers.get("Content-Length")
    # urllib does not notice a connection that closes early
    if expected is not None and part.stat().st_size != int(expected):
        raise EntrantError(_refused(part, url, f"{part.stat().st_size} of {expected} bytes"))


def _refused(path: Path, url: str, got: str) -> str:
    return f"expected the checkpoint {path.name} from {url}, got {got}; try later, or put the file in place by hand"
