"""Where records live: one folder with a subfolder for each kind of file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from leaderboards.records.bounds import MOST_BESIDE
from leaderboards.records.schema import Record, RecordError


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

    def require_holdable(self, record: Record) -> None:
        """Raise RecordError where the files that a record names are more than can be held at once."""
        named = {self.arrays / one.file for one in record.arrays.values()}
        named |= {self.witnesses / one.file for one in record.bundles.values()}
        if (size := sum(path.stat().st_size for path in named if path.is_file())) > MOST_BESIDE:
            raise RecordError(
                f"expected at most {MOST_BESIDE // 2**20} MB of arrays and witnesses of one record, got {size // 2**20} MB;"
                " remove it"
            )
