"""Why a network is less accurate than it could be: normalisation, range, order and size of the images, BatchNorm, labels."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from harness.doctor.check import Check, fault, fine, warning
from harness.doctor.finding import Finding, percent
from harness.doctor.hypotheses import Hypothesis, of_images
from harness.doctor.subject import Subject
from harness.measures.signs import LEVEL, at_chance, classes_meant, predictions_meant, sign_test

GAIN, CLEAR_GAIN = 0.02, 0.1
"""Share of the images that a hypothesis must make right: for a warning, and for a fault."""

SCREENED_SHARE, MOST_SCREENED = 4, 32
"""Hypotheses are tried first on some of the images that are wrong: one in so many of all images, and at most so many."""

PROMISING = 0.25
"""Share of those that a hypothesis must make right to be tried on all."""

STEPS = 3
"""How many causes are looked for, one after another."""

LOW, TOGETHER = 0.5, 64
"""Accuracy below which a change of the images is tried with classes renamed, and on so many images."""

BETTER = 0.2
"""Part of the way from chance to always right that no network should stay below."""

SHIFTS = (1, -1, 2, -2, 3, -3)
"""By how many places images and labels may be out of step."""

BATCH_NORM_AHEAD = 0.05
"""By how much BatchNorm's own statistics must beat every other hypothesis: they repair much that is wrong with the images."""

OF_IMAGES = frozenset({"normalisation", "pixel-range", "image-order", "image-size", "batch-norm"})
"""Names of findings after which the network's answers to the images as they are say little."""


@dataclass(frozen=True, eq=False)
class _State:
    """Images as they are shown (n, C, H, W), what the network answers (n, K), and the labels that are meant (n,)."""

    x: Tensor
    logits: Tensor
    y: Tensor

    @cached_property
    def predicted(self) -> np.ndarray:
        return np.asarray(self.logits.argmax(1).cpu())

    @cached_property
    def right(self) -> np.ndarray:
        return self.predicted == np.asarray(self.y.cpu())

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    @property
    def likelihood(self) -> float:
        """How large the label's logit is among the others, in their standard deviations: tells equals apart."""
        others = self.logits.std(1).clamp_min(1e-12)
        held = self.logits.gather(1, self.y.unsqueeze(1)).squeeze(1) - self.logits.mean(1)
        return float((held / others).mean())


@dataclass(frozen=True, eq=False)
class _Better:
    """A state that is better than another: why, and what to say of it."""

    state: _State
    check: str
    how: str
    meaning: str
    advice: str
    right: np.ndarray
    """(n,) bool: which are right then. Labels that were renamed are judged by the other half of the images."""
    of: str = ""
    """The data set that a normalisation is published for."""

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())


def accuracy(subject: Subject) -> list[Finding]:
    """One finding for each cause that makes significantly more images right when it is taken away."""
    state = _State(subject.x, subject.logits, subject.y)
    right, found = state.right, list[Finding]()
    for _ in range(STEPS):
        tried = [one for one in _tried(subject, state, {f.check for f in found}) if _significant(right, one.right)]
        if not tried:
            break
        best = max(
            tried, key=lambda one: (one.accuracy - BATCH_NORM_AHEAD * (one.check == "batch-norm"), one.state.likelihood)
        )
        # published normalisations are alike: the data set's own is meant where another one is not clearly better
        own = [one for one in tried if one.of and subject.suite.dataset.startswith(one.of)]
        if best.of and own and not _significant(own[0].right, best.right):
            best = own[0]
        found.append(_finding(float(right.mean()), best, len(right)))
        state, right = best.state, best.right
        if best.check == "batch-norm":
            break
    if not found and state.accuracy < LOW:
        before = state.accuracy
        for one in _both(subject, state):
            found.append(_finding(before, one, len(one.right)))
            state, right = one.state, one.right
    if found and not at_chance(int(right.sum()), len(right), subject.suite.classes):
        return found
    return [*found, *_level(subject, state, right)]


def _significant(before: np.ndarray, after: np.ndarray) -> bool:
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    return gained - lost >= GAIN * len(before) and sign_test(gained, lost) < LEVEL


def _finding(before: float, best: _Better, n: int) -> Finding:
    seen = f"{percent(before)} of {n} images are right as given, {percent(best.accuracy)} with {best.how}"
    kind = fault if best.accuracy - before >= CLEAR_GAIN else warning
    return kind(best.check, seen, best.meaning, best.advice, as_given=before, changed=best.accuracy)


def _tried(subject: Subject, state: _State, known: set[str]) -> Iterator[_Better]:
    yield from _labels(state, subject.suite.classes, known)
    yield from _images(subject, state, known)
    yield from _batch_norm(subject, state)


def _images(subject: Subject, state: _State, known: set[str]) -> Iterator[_Better]:
    """What changed images give, of the two hypotheses that mend most of some wrong answers."""
    wrong = np.flatnonzero(~state.right)[: min(MOST_SCREENED, len(state.right) // SCREENED_SHARE)]
    if len(wrong) < GAIN * len(state.right):
        return
    some = torch.as_tensor(wrong, device=state.x.device)
    promising: list[tuple[tuple[float, float], Hypothesis]] = []
    for hypothesis in of_images(state.x):
        if hypothesis.check in known:
            continue
        shown = _shown(subject, hypothesis, state.x[some], state.y[some])
        if shown is not None and shown.accuracy >= PROMISING:
            promising.append(((shown.accuracy, shown.likelihood), hypothesis))
    promising.sort(key=lambda one: one[0], reverse=True)
    own = [one for one in promising[2:] if one[1].of and subject.suite.dataset.startswith(one[1].of)]
    for _, hypothesis in promising[:2] + own:
        shown = _shown(subject, hypothesis, state.x, state.y)
        if shown is not None:
            yield _Better(
                shown,
                hypothesis.check,
                hypothesis.how,
                hypothesis.meaning,
                hypothesis.advice,
                shown.right,
                hypothesis.of,
            )


def _shown(subject: Subject, hypothesis: Hypothesis, x: Tensor, y: Tensor) -> _State | None:
    """What the network answers to changed images; None where it takes no such ones."""
    changed = hypothesis.change(x)
    try:
        logits = subject.answers(changed)
    except torch.OutOfMemoryError:
        return None
    except Exception:  # noqa: BLE001  images of another size are not for every network
        return None
    fits = logits.dim() == 2 and logits.shape == (len(x), subject.suite.classes) and bool(logits.isfinite().all())
    return _State(changed, logits, y) if fits else None


def _both(subject: Subject, state: _State) -> list[_Better]:
    """Changed images with classes renamed, where the two together are much better: each alone may tell nothing."""
    y, classes = np.asarray(state.y.cpu()), subject.suite.classes
    tried: list[tuple[float, Hypothesis, _Better]] = []
    for hypothesis in of_images(state.x):
        shown = _shown(subject, hypothesis, state.x[:TOGETHER], state.y[:TOGETHER])
        if shown is not None:
            renamed = next(_labels(shown, classes, set()))
            tried.append((renamed.accuracy, hypothesis, renamed))
    if not tried:
        return []
    _, hypothesis, renamed = max(tried, key=lambda one: one[0])
    alone = predictions_meant(state.predicted[:TOGETHER], y[:TOGETHER], classes) == y[:TOGETHER]
    if renamed.accuracy < LOW or not _significant(alone, renamed.right):
        return []
    how = f"{hypothesis.how}, and {renamed.how}"
    first = _Better(renamed.state, hypothesis.check, how, hypothesis.meaning, hypothesis.advice, renamed.right)
    return [first, replace(renamed, how=how)]


def _labels(state: _State, classes: int, known: set[str]) -> Iterator[_Better]:
    """What other labels give: classes in another order, or images and labels out of step."""
    y = np.asarray(state.y.cpu())
    if "labels-permuted" not in known:
        meant = classes_meant(state.predicted, y, classes)
        renamed = _State(state.x, state.logits[:, np.argsort(meant)], state.y)
        right = predictions_meant(state.predicted, y, classes) == y
        yield _Better(
            renamed,
            "labels-permuted",
            f"classes renamed ({_renamed(meant)})",
            "The entrant's order of classes is not the suite's.",
            "Put the logits into the suite's order inside the entrant (logits[:, order]), or mend the labels of the data.",
            right,
        )
    if "misaligned" in known:
        return
    for shift in SHIFTS:
        moved = np.roll(y, -shift)
        labels = torch.as_tensor(moved, device=state.y.device)
        other = _State(state.x, state.logits, labels)
        yield _Better(
            other,
            "misaligned",
            f"labels of the image {abs(shift)} place{'s' if abs(shift) > 1 else ''} {'on' if shift > 0 else 'back'}",
            "Images and labels are out of step.",
            "Look at how the data set is read: one of the two lacks or repeats an entry, or was sorted alone.",
            other.right,
        )


def _renamed(meant: np.ndarray) -> str:
    """Which class means which, for a message."""
    moved = [(k, int(v)) for k, v in enumerate(meant) if k != v]
    steps = {(int(v) - k) % len(meant) for k, v in enumerate(meant)}
    if len(steps) == 1:
        return f"each by {min(steps)}: the answer k means k+{min(steps)}, counted round"
    said = ", ".join(f"{k} means {v}" for k, v in moved[:4])
    return said + (f", and {len(moved) - 4} more" if len(moved) > 4 else "")


def _batch_norm(subject: Subject, state: _State) -> Iterator[_Better]:
    """What the images' own statistics in BatchNorm give."""
    if not any(isinstance(module, _BatchNorm) for module in subject.network.modules()):
        return
    if state.accuracy > 1 - CLEAR_GAIN:
        return
    try:
        network = copy.deepcopy(subject.network)
    except Exception:  # noqa: BLE001  some modules hold what cannot be copied
        return
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.train()
            module.momentum = 0.0
    own = replace(subject, network=network).answers(state.x)
    shown = _State(state.x, own, state.y)
    if shown.accuracy - state.accuracy >= CLEAR_GAIN:
        yield _Better(
            shown,
            "batch-norm",
            "the images' own statistics in BatchNorm",
            "The running statistics do not belong to these weights, or were never updated.",
            "Save and load running_mean and running_var with the weights, or take them again on training images.",
            shown.right,
        )


def _level(subject: Subject, state: _State, right: np.ndarray) -> Sequence[Finding]:
    """Whether what is left is better than chance."""
    n, correct = len(right), int(right.sum())
    share = float(np.bincount(state.predicted).max() / n)
    if at_chance(correct, n, subject.suite.classes):
        seen = (
            f"{correct} of {n} images are right, which is chance for {subject.suite.classes} classes;"
            f" {percent(share)} of the predictions are one class"
        )
        meaning = (
            "The network has not learned these images, its weights were not loaded, or labels do not belong to images."
        )
        advice = (
            "Look at its accuracy where it was trained; no order, range or size of the images that was tried helps."
        )
        return [fault("chance-level", seen, meaning, advice, accuracy=correct / n, one_class=share)]
    chance = 1 / subject.suite.classes
    if correct / n < chance + BETTER * (1 - chance):
        seen = (
            f"{correct} of {n} images are right, which is little more than chance for {subject.suite.classes} classes"
        )
        meaning = "Something is wrong, or two things at once: no single change that was tried makes it better."
        return [
            warning("chance-level", seen, meaning, "Look at its accuracy where it was trained.", accuracy=correct / n)
        ]
    return [
        fine(
            "accuracy",
            f"{percent(correct / n)} of {n} images are right; no normalisation, range, order, size or renaming does better",
            accuracy=correct / n,
        )
    ]


_BEFORE = frozenset({"images", "output", "classes"})
ACCURACY = (Check("accuracy", "image or label that is not as the network was trained on", accuracy, _BEFORE),)
