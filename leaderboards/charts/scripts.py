"""Scripts that stand inside a page, and how the page's policy names them."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup


class BundleError(RuntimeError):
    """An installed package does not carry the script that the pages are made with."""


def inline(script: str) -> str:
    """A script that may stand inside <script>: an HTML parser finds neither its end nor a comment in it."""
    return script.replace("<!--", "\\x3C!--").replace("</script", "\\x3C/script")


def digest(script: str) -> str:
    """How a content security policy names an inline script that may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@dataclass(frozen=True)
class Script:
    """A script that stands inside a page, and how the page's policy names it."""

    source: str

    @property
    def text(self) -> Markup:
        return Markup(self.source)

    @cached_property
    def digest(self) -> str:
        return digest(self.source)
