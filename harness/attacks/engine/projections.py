"""The point of a hyperplane within [0, 1] that is nearest to an image, for FAB (Croce & Hein 2020, section 3).

The reference sorts the pixels and bisects. Here the one unknown is found by Newton's method: what a move of size m gains
towards the hyperplane is concave and piecewise linear in m, so from the left it converges in finitely many steps, in a few
as a rule, with sums of whole rows alone. Both find the same point up to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.attacks.engine.search import row_sum

_STEPS = 50
"""More Newton steps than any row was seen to need; rows that stop moving end them early."""

_TINY = 1e-8
"""Under L2, a smaller entry of the normal counts as zero, as in the reference."""


def onto_hyperplane(points: Tensor, w: Tensor, b: Tensor, *, linf: bool) -> Tensor:
    """The shortest moves d (n, D) with w . (point + d) = b and point + d in [0, 1]; norm Linf, or L2.

    points and w (n, D), b (n,). Where no point of the box lies on the hyperplane, d goes as far towards it as the box allows.
    """
    gap = row_sum(w * points) - b
    w = torch.where((gap >= 0).unsqueeze(1), w, -w)  # now the way is against w
    size = w.abs()
    if not linf:
        size = torch.where(size > _TINY, size, 0)
    room = torch.where(w < 0, 1 - points, points)
    room = torch.where(size > 0, room, 0)
    moved = _moved(size, room, gap.abs(), linf=linf)
    return torch.where(w < 0, moved, -moved)


def _moved(size: Tensor, room: Tensor, gap: Tensor, *, linf: bool) -> Tensor:
    """How far each pixel moves: min(m, room) under Linf, min(m * size, room) under L2, with sum(size * moved) = gap."""
    weight = size if linf else size * size
    limit = room if linf else torch.where(size > 0, room / size, 0)  # the m at which a pixel has no room left
    total = row_sum(weight)
    m = torch.where(total > 0, gap / total, 0)
    moving = torch.ones_like(m, dtype=torch.bool)
    for _ in range(_STEPS):
        gained = row_sum(weight * torch.minimum(limit, m.unsqueeze(1)))
        slope = row_sum(weight * (limit > m.unsqueeze(1)))
        # no slope left: the box ends here, and m is past every limit already
        further = torch.where(slope > 0, (gap - gained) / slope, 0).clamp_min(0)
        ahead = m + further
        # a row that stands still stays: what it comes to must not depend on how long others go on
        moving = moving & (ahead > m * (1 + 4 * torch.finfo(m.dtype).eps))
        if not bool(moving.any()):
            break
        m = torch.where(moving, ahead, m)
    reach = torch.minimum(limit, m.unsqueeze(1))
    return reach if linf else reach * size
