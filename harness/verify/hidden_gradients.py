"""Whether other entrants' witnesses say that an entrant misled AutoAttack: that its gradients hide how it can be broken.

A witness of another entrant owes nothing to this one's gradients. Of an entrant that AutoAttack has judged well, next to none
of them break what it left. Athalye et al. (ICML 2018): that a transferred attack does better is a sign of obfuscated gradients.
Errs towards the entrant: where only few are tried, more than the stated share must break.
"""

from __future__ import annotations

from collections.abc import Sequence

from scipy import stats

from leaderboards.records.schema import Flag
from leaderboards.records.transfers import Pair

HIDDEN_GRADIENTS = "hidden-gradients"

SHARE = 0.05
"""Of the examples that AutoAttack left: one other entrant's witnesses must break more of them."""

LEAST = 0.02
"""And no smaller share than this may lie in the exact 95 % interval: 3 of 20, 4 of 50, 6 of 100, 501 of 10,000 are flagged."""


FEWEST = 3
"""Nor are fewer than this told of: one image that breaks the only example that was shown says little."""


def hides_gradients(pair: Pair) -> bool:
    """Whether one other entrant's witnesses break too much of what AutoAttack left of the target."""
    if pair.broken < FEWEST or pair.broken <= SHARE * pair.tried:
        return False
    # the lower end of Clopper and Pearson's interval, which holds at every number, also at 20
    return float(stats.beta.ppf(0.025, pair.broken, pair.tried - pair.broken + 1)) > LEAST


def flags_with(flags: Sequence[Flag], pairs: Sequence[Pair]) -> tuple[Flag, ...]:
    """An entrant's flags, with this one where a pair of its gives reason for it: the one that breaks the largest share."""
    others = tuple(flag for flag in flags if flag.code != HIDDEN_GRADIENTS)
    hiding = [pair for pair in pairs if hides_gradients(pair)]
    if not hiding:
        return others
    worst = max(hiding, key=lambda pair: (pair.broken / pair.tried, pair.source))
    message = (
        f"of what AutoAttack left, {worst.tried} images made for {worst.source} were shown, and {worst.broken} break it"
        f" ({100 * worst.broken / worst.tried:.1f} %): its gradients may be hidden, and AutoAttack's number too high"
    )
    return (*others, Flag(code=HIDDEN_GRADIENTS, message=message))
