"""Where records live: one folder with a subfolder for each kind of file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """The folder of a run (runs/), or of what a project publishes (leaderboards/)."""

    root: Path

    @property
    def results(self) -> Path:
        """Records: <suite>/<entrant>.json."""
        return self.root / "results"

    @property
    def arrays(self) -> Path:
        """Per-sample arrays, by their sha256."""
        return self.root / "arrays"

    @property
    def witnesses(self) -> Path:
        """Bundles of witnesses, by their sha256."""
        return self.root / "witnesses"

    @property
    def samples(self) -> Path:
        """Pictures of generated images: <suite>/<entrant>/."""
        return self.root / "samples"

    @property
    def verified(self) -> Path:
        """What `harness verify` found of each record: <suite>/<entrant>.json."""
        return self.root / "verified"

    @property
    def transfers(self) -> Path:
        """Which entrant's witnesses break which other entrant: <suite>.json."""
        return self.root / "transfers"

    @property
    def site(self) -> Path:
        """The pages."""
        return self.root / "site"
