"""What goes in and what comes out: images of the suite's shape, and one row of finite float32 logits an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.doctor.check import Check, fault, fine, warning
from harness.doctor.finding import Finding, percent
from harness.doctor.subject import Subject
from zoo.faults import one_line

FEW, TRIED = 8, 32
"""Images by which the form is seen, and images on which another one is tried."""

SIDES = (8, 16, 28, 32, 64, 224)
"""Of images that classifiers are made for."""


def images(subject: Subject) -> list[Finding]:
    """Whether the network takes the suite's images, and if not, which ones it takes."""
    x, _ = subject.shown(FEW)
    before = x.clone()
    try:
        with torch.no_grad():
            subject.network(x)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001  it is the user's code
        return [_refused(subject, *subject.shown(TRIED), error)]
    if torch.equal(x, before):
        return [fine("images", f"takes images of {_shape(x)}")]
    return [
        fault(
            "images",
            "the entrant changed the images that it was given",
            "An attack would go on from other images than it thinks.",
            "Work on a copy: x = (x - mean) / std, not x -= mean.",
        )
    ]


def output(subject: Subject) -> list[Finding]:
    """Whether there is one row of finite numbers an image."""
    out = subject.raw(subject.shown(FEW)[0])
    seen, advice = "", "Return the logits alone."
    if not isinstance(out, Tensor):
        seen = f"the entrant gives a {type(out).__name__}, not a tensor"
    elif out.dim() != 2 or len(out) != min(FEW, len(subject.images)):
        seen = f"an output of shape {tuple(out.shape)}, not ({FEW}, {subject.suite.classes})"
        advice = "Flatten the output to (N, classes)."
    elif bad := int((~out.isfinite().all(1)).sum()):
        seen = f"NaN or infinity in the output for {bad} of {len(out)} images"
        advice = "Look at the weights, at divisions and at logarithms in forward."
    else:
        return [fine("output", f"one row of {out.shape[1]} finite numbers an image")]
    return [fault("output", seen, "Measures need one row of finite logits an image.", advice)]


def _shape(x: Tensor) -> str:
    return f"{'x'.join(map(str, x.shape[1:]))} (channels, height, width)"


def _refused(subject: Subject, x: Tensor, y: Tensor, error: Exception) -> Finding:
    takes = next(_taken(subject, x), None)
    seen = f"the entrant fails on images of {_shape(x)}: {one_line(error, 120)}"
    meaning = "It cannot be judged on this suite as it is."
    if takes is None:
        return fault("images", seen, meaning, "Choose a classifier of this data set, or mend its forward.")
    how, out = takes
    said = f"{seen}; it takes them {how}"
    if out.dim() == 2 and out.shape[1] == subject.suite.classes:
        accuracy = float((out.argmax(1) == y).float().mean())
        said += f", and is right on {percent(accuracy)} of {len(y)}"
    return fault("images", said, meaning, "Bring the images to that form inside the entrant.")


def _taken(subject: Subject, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Other forms of the images that the network takes, and what it says to them."""
    sides = [side for side in SIDES if (side, side) != tuple(x.shape[2:])]
    channels = {1: 3, 3: 1}.get(x.shape[1], 0)
    forms: list[tuple[str, Callable[[Tensor], Tensor]]] = [
        ("in half precision", Tensor.half),
        ("in double precision", Tensor.double),
        ("as rows of pixels, (N, C*H*W)", lambda x: x.flatten(1)),
        ("as (N, H, W, C)", lambda x: x.permute(0, 2, 3, 1).contiguous()),
    ]
    if channels:
        forms.append((f"with {channels} channels", partial(_with_channels, channels=channels)))
    forms += [(f"resized to {side}x{side}", partial(resized, side=side)) for side in sides]
    for side in sides if channels else ():
        how = f"resized to {side}x{side}, with {channels} channels"
        forms.append((how, lambda x, side=side: resized(_with_channels(x, channels), side)))  # type: ignore[misc]
    for how, form in forms:
        try:
            subject.raw(form(x[:2]))  # a refusal must cost little
            out = subject.raw(form(x))
        except Exception:  # noqa: BLE001  this form is not the one either
            continue
        if isinstance(out, Tensor):
            yield how, out.float()


def _with_channels(x: Tensor, channels: int) -> Tensor:
    return x.expand(-1, channels, -1, -1).contiguous() if x.shape[1] == 1 else x.mean(1, keepdim=True)


def resized(x: Tensor, side: int) -> Tensor:
    """(n, C, H, W) to (n, C, side, side), bilinear."""
    return F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False, antialias=True)


def classes(subject: Subject) -> list[Finding]:
    """Whether there are as many logits as classes."""
    got, wanted = subject.raw(subject.shown(1)[0]).shape[1], subject.suite.classes
    if got == wanted:
        return [fine("classes", f"{got} logits an image", classes=got)]
    x, y = subject.shown(TRIED)
    out = subject.answers(x)
    seen = f"{got} numbers an image, and the suite has {wanted} classes"
    if got > wanted:
        accuracy = float((out[:, :wanted].argmax(1) == y).float().mean())
        seen += f"; by the first {wanted} alone {percent(accuracy)} of {len(y)} images are right"
    return [
        fault(
            "classes",
            seen,
            "Labels and logits do not belong to each other.",
            "Choose a classifier of this data set, or select its classes inside the entrant, in the suite's order.",
            classes=got,
        )
    ]


def dtype(subject: Subject) -> list[Finding]:
    """Whether the network computes in float32."""
    out = subject.raw(subject.shown(FEW)[0])
    if out.dtype is torch.float64:
        return [
            warning(
                "dtype",
                "the logits are float64",
                "Measures round them to float32, and double precision is slow.",
                "Cast the network with .float().",
            )
        ]
    coarse = next((kind for kind in (torch.float16, torch.bfloat16) if _all_are(subject.logits, kind)), None)
    if coarse is not None or not out.is_floating_point():
        kind = str(coarse or out.dtype).removeprefix("torch.")
        return [
            fault(
                "dtype",
                f"every logit is a {kind} number",
                "Small changes of an image change no logit, so attacks by gradient lose their way and energies are coarse.",
                "Compute in float32: no .half(), .bfloat16() or autocast inside forward (--precision bf16 rounds, where that is"
                " wanted).",
            )
        ]
    held = {p.dtype for p in subject.built.parameters()} if subject.built is not None else set()
    if odd := [str(one).removeprefix("torch.") for one in held if one is not torch.float32]:
        return [
            warning(
                "dtype",
                f"the network's parameters are {', '.join(sorted(odd))}; it is judged in float32",
                "Its predictions may differ from those that it gives elsewhere.",
                "Cast it with .float() before it is handed in, and look at its accuracy again.",
            )
        ]
    return [fine("dtype", "float32")]


def _all_are(logits: Tensor, kind: torch.dtype) -> bool:
    """Whether every logit is a number of a coarser type, and they are not all whole: those may be meant."""
    return bool((logits.to(kind).to(logits.dtype) == logits).all()) and bool((logits != logits.round()).any())


FORM = (
    Check("images", "an entrant that fails on the suite's images, or changes them", images),
    Check("output", "anything but one row of finite numbers an image", output, frozenset({"images"})),
    Check("classes", "another number of logits than of classes", classes, frozenset({"images", "output"})),
    Check("dtype", "arithmetic in another type than float32", dtype, frozenset({"images", "output"})),
)
