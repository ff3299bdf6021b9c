"""What attacks raise, in forms whose gradient does not vanish where a classifier is sure of itself.

In float32 the textbook form of the cross-entropy has the gradient p(y|x) - 1, which rounds to zero beyond a log odds of 16.6:
an attack on it stands still, and nothing says so. The forms here point the same way for each sample, whatever its confidence.
Steps of a given length, by sign or by norm, need no more than the direction.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def log_odds(logits: Tensor, y: Tensor) -> Tensor:
    """log p(y|x) / (1 - p(y|x)) = f(x)[y] - logsumexp_{k != y} f(x)[k]: (N, K) with K >= 2 and (N,) to (N,).

    The cross-entropy is a falling function of it, so for each sample both have the same direction of ascent up to the sign.
    The gradient of this one keeps its size at any confidence.
    """
    label = y.unsqueeze(1)
    others = logits.scatter(1, label, -torch.inf).logsumexp(1)
    return logits.gather(1, label).squeeze(1) - others


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """-log p(y|x), as -log sigmoid of the log odds: (N, K) with K >= 2 and (N,) to (N,).

    Its value and its gradient in the logits' type stay above zero up to a log odds of about 100 in float32, 740 in float64.
    """
    return -F.logsigmoid(log_odds(logits, y))


def towards_kl(logits: Tensor, reference: Tensor) -> Tensor:
    """A number (N,) that rises along KL(p || q), p of the reference logits (N, K) and q of these: only its gradient counts.

    The gradient is q - p over its largest entry, zero where the two are equal. The entry of the reference's likeliest class
    is minus the sum of the others, for there q and p both round to 1 where the classifier is sure.
    """
    with torch.no_grad():
        difference = logits.double().softmax(1) - reference.double().softmax(1)
        top = reference.argmax(1, keepdim=True)
        difference = difference.scatter(1, top, 0.0)
        difference = difference.scatter(1, top, -difference.sum(1, keepdim=True))
        size = difference.abs().amax(1, keepdim=True)
        direction = (difference / torch.where(size > 0, size, 1.0)).to(logits)
    return (direction * logits).sum(1)
