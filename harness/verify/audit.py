"""Survivors of AutoAttack attacked again with another seed: how many of them it may break, at most.

AutoAttack draws at random, so what one seed leaves another may break. Some survivors are drawn by key, before anything is
known of them, and attacked to the end; the exact hypergeometric distribution bounds the share of all survivors that this
attack, with this seed, breaks. It says nothing of stronger attacks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from harness.attacks.engine.draws import image_keys, subkey, uniform
from harness.attacks.engine.engine import Engine
from harness.attacks.engine.outcome import SURVIVED
from harness.classifier.prepared import chosen_search
from harness.data.images import ImageSet
from harness.measures.bounded import most_breakable
from harness.measures.intervals import LEVEL
from harness.threat import ThreatModel
from harness.verify.replay import natural
from leaderboards.records.verifications import Audit

ALLOWED = 0.01
"""Of the survivors: where surely more than this share breaks under another seed, the record's number does not stand."""

_CHOICE = 301
"""What sets the choice's random numbers apart from those of the attacks."""


@dataclass(frozen=True)
class Audited:
    """What came of an audit: its numbers, and the images that broke survivors: `examples` (m,) int64 are their places in the
    suite, `images` (m, C, H, W) float32 in [0,1]."""

    audit: Audit
    examples: np.ndarray
    images: np.ndarray

    @property
    def differs(self) -> str:
        """Why the record's number does not stand; empty where it does."""
        if self.audit.least <= ALLOWED:
            return ""
        return (
            f"AutoAttack with seed {self.audit.seed} breaks more than {100 * ALLOWED:g} % of the survivors, p >= {LEVEL}:"
            " the record's number is too high"
        )


def chosen(keys: torch.Tensor, seed: int, n: int) -> torch.Tensor:
    """The places (m,) of at most n of the images with these keys (N,), by key and seed alone, rising."""
    order = uniform(subkey(subkey(keys, seed), _CHOICE), 1)[:, 0].argsort(stable=True)
    return order[:n].sort().values


def least_breakable(survivors: int, sampled: int, broke: int, level: float = LEVEL) -> int:
    """The least of `survivors` that can be breakable where `broke` of `sampled` at random broke: the lower end of the exact
    one-sided interval, above the truth in at most 1 - `level` of all samples."""
    from scipy.stats import hypergeom  # half a second to import: only who audits needs it

    # so many broken ones become likelier with every breakable point
    low, high = broke, survivors - (sampled - broke)
    while low < high:
        middle = (low + high) // 2
        if hypergeom.sf(broke - 1, survivors, middle, sampled) > 1 - level:
            high = middle
        else:
            low = middle + 1
    return low


def audited(
    model: nn.Module,
    images: ImageSet,
    survivors: np.ndarray,
    threat: ThreatModel,
    device: torch.device,
    n: int,
    seed: int,
) -> Audited:
    """Attack at most n of the survivors (places in the suite) with AutoAttack under a seed of its own."""
    x, y = natural(images, survivors)
    rows = chosen(image_keys(x), seed, n) if len(survivors) else torch.zeros(0, dtype=torch.int64)
    broken, found = np.zeros(len(rows), bool), x[rows]
    if len(rows):
        engine = Engine(seed, chosen_search(None, device))
        outcome, _ = engine(model, x[rows].to(device), y[rows].to(device), threat)
        stage = outcome.stage.cpu().numpy()
        broken, found = (stage >= 0) & (stage < SURVIVED), outcome.x_adv.cpu()
    count, share = int(broken.sum()), max(len(survivors), 1)
    audit = Audit(
        survivors=len(survivors),
        attacked=len(rows),
        broken=count,
        seed=seed,
        most=most_breakable(len(survivors), len(rows), count) / share,
        least=least_breakable(len(survivors), len(rows), count) / share,
    )
    return Audited(audit, survivors[rows.numpy()][broken].astype(np.int64), found[torch.from_numpy(broken)].numpy())
