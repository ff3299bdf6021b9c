"""Witnesses: images that prove examples broken, packed small enough to be kept and handed on.

A witness of an example is its natural image plus a perturbation of a few levels: whole numbers of `bits` bits times a step of
its own, clipped to [0,1]. Few bits are enough, for attacks drive most pixels to the edge of the ball. Decoding is one
multiplication and one addition in float32, so every machine gets the same image, bit for bit, and can check that it lies in
the ball and fools the classifier. An image of which no such form is kept stands whole.

A bundle is a safetensors file named by the sha256 of its bytes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from leaderboards.records.bounds import MOST_ARRAYS, require_header, sha256_within
from leaderboards.records.files import line, write_atomically
from leaderboards.records.schema import Bundle, RecordError

WIDTHS = (2, 4, 6, 8)
"""Bits that a pixel's perturbation may take: -1 to 1, -7 to 7, -31 to 31, -127 to 127 steps."""

WHOLE = 32
"""The bits of an image that is kept as it is, in float32."""


def levels(bits: int) -> int:
    """The largest number of steps that so many bits hold, on either side of 0."""
    return 2 ** (bits - 1) - 1


def quantised(x: np.ndarray, x_adv: np.ndarray, step: np.ndarray, bits: int) -> np.ndarray:
    """Perturbations in steps: x, x_adv (n, ...) float32 in [0,1] and step (n,) to (n, ...) int8.

    A pixel at the edge of the box is given the largest number of steps towards it: clipping brings it back exactly.
    """
    most, delta = levels(bits), x_adv - x
    steps = np.rint(delta / _beside(step, x)).clip(-most, most)
    at_edge = ((x_adv <= 0) | (x_adv >= 1)) & (delta != 0)
    return np.where(at_edge, most * np.sign(delta), steps).astype(np.int8)


def decoded(x: np.ndarray, steps: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The image of a perturbation in steps, (n, ...) float32 in [0,1]: the same on every machine."""
    with np.errstate(over="ignore"):  # a bundle may name any step: what is beyond float32 is clipped like the rest
        return np.clip(x + steps.astype(np.float32) * _beside(step, x), np.float32(0), np.float32(1))


def _beside(step: np.ndarray, x: np.ndarray) -> np.ndarray:
    return step.astype(np.float32).reshape(-1, *[1] * (x.ndim - 1))


@dataclass(frozen=True)
class Packed:
    """Witnesses of n examples. `shape` is an image's (channels, height, width); `examples` (n,) int32, rising, are their
    places in the suite; `bits` (n,) uint8 and `step` (n,) float32 how each is packed; `codes` by bits, a row an image."""

    shape: tuple[int, int, int]
    examples: np.ndarray
    bits: np.ndarray
    step: np.ndarray
    codes: Mapping[int, np.ndarray]

    def __len__(self) -> int:
        return len(self.examples)

    def images(self, x: np.ndarray) -> np.ndarray:
        """The witnesses (n, C, H, W) float32, given the natural images x of the same examples, in the same order and form."""
        found = np.empty((len(self), *self.shape), np.float32)
        for bits, codes in self.codes.items():
            rows = self.bits == bits
            if bits == WHOLE:
                found[rows] = codes
            else:
                found[rows] = decoded(x[rows], _unpacked(codes, bits, self.shape), self.step[rows])
        return found

    def of(self, examples: np.ndarray) -> Packed:
        """Those of these examples alone, which may be more than there are."""
        keep = np.isin(self.examples, examples)
        codes = {bits: held[keep[self.bits == bits]] for bits, held in self.codes.items()}
        codes = {bits: held for bits, held in codes.items() if len(held)}
        return Packed(self.shape, self.examples[keep], self.bits[keep], self.step[keep], codes)


def packed(
    examples: np.ndarray,
    x: np.ndarray,
    x_adv: np.ndarray,
    bits: np.ndarray | None = None,
    step: np.ndarray | None = None,
) -> Packed:
    """Pack witnesses x_adv (n, C, H, W) of the natural images x, both float32 in [0,1], without changing them
    (but for the sign of a zero).

    `bits` and `step` (n,) are how each can be packed (harness.attacks.witnesses finds that out); one for which it turns out
    not to be so, or of which nothing is said, is kept whole. `examples` (n,) may come in any order, each once.
    """
    order = np.argsort(examples, kind="stable")
    examples = np.asarray(examples)[order].astype(np.int32)
    if len(np.unique(examples)) < len(examples):
        raise ValueError("expected each example once, got one of them twice")
    x, x_adv = (np.asarray(images, np.float32)[order] for images in (x, x_adv))
    wanted = np.full(len(order), WHOLE, np.uint8) if bits is None else np.asarray(bits)[order].astype(np.uint8)
    held = np.zeros(len(order), np.float32) if step is None else np.asarray(step)[order].astype(np.float32)
    wanted[~np.isin(wanted, WIDTHS) | ~np.isfinite(held) | (held <= 0)] = WHOLE
    codes: dict[int, np.ndarray] = {}
    for width in WIDTHS:
        rows = np.flatnonzero(wanted == width)
        if len(rows) == 0:
            continue
        steps = quantised(x[rows], x_adv[rows], held[rows], width)
        back = decoded(x[rows], steps, held[rows])
        exact = (back == x_adv[rows]).reshape(len(rows), -1).all(1)
        wanted[rows[~exact]] = WHOLE
        if exact.any():
            codes[width] = _packed(steps[exact], width)
    whole = wanted == WHOLE
    held[whole] = 0
    if whole.any():
        codes[WHOLE] = x_adv[whole]
    channels, height, width = x_adv.shape[1:]
    return Packed((channels, height, width), examples, wanted, held, codes)


def joined(parts: Sequence[Packed]) -> Packed:
    """Witnesses of several runs of examples, one run after another, as one. At least one part; all of one shape."""
    codes: dict[int, np.ndarray] = {}
    for width in (*WIDTHS, WHOLE):
        held = [part.codes[width] for part in parts if width in part.codes]
        if held:
            codes[width] = np.concatenate(held)
    examples, bits, step = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("examples", "bits", "step")
    )
    if (np.diff(examples) < 1).any():
        raise ValueError("expected runs of examples in their order, got an example that does not follow the one before")
    return Packed(parts[0].shape, examples, bits, step, codes)


def _packed(steps: np.ndarray, bits: int) -> np.ndarray:
    """(n, ...) int8 of at most so many bits to rows of bytes."""
    flat = steps.reshape(len(steps), -1).view(np.uint8)  # the low bits are those of a smaller number
    return np.packbits(np.unpackbits(flat[:, :, None], axis=2)[:, :, 8 - bits :].reshape(len(flat), -1), axis=1)


def _unpacked(rows: np.ndarray, bits: int, shape: tuple[int, int, int]) -> np.ndarray:
    pixels = math.prod(shape)
    flat = np.unpackbits(rows, axis=1, count=pixels * bits).reshape(len(rows), pixels, bits)
    values = np.packbits(np.pad(flat, ((0, 0), (0, 0), (8 - bits, 0))), axis=2)[:, :, 0].astype(np.int16)
    return np.where(values >= 2 ** (bits - 1), values - 2**bits, values).astype(np.int8).reshape(len(rows), *shape)


def write_witnesses(folder: Path, found: Packed) -> Bundle:
    """Write a bundle under the sha256 of its bytes; equal witnesses give equal files."""
    arrays = {"example": found.examples, "bits": found.bits, "step": found.step}
    arrays["shape"] = np.asarray(found.shape, np.int32)
    arrays |= {f"codes.{bits}": np.ascontiguousarray(codes) for bits, codes in found.codes.items()}
    content = save_arrays({name: arrays[name] for name in sorted(arrays)})
    digest = hashlib.sha256(content).hexdigest()
    path = folder / f"{digest}.safetensors"
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, content)
    return Bundle(sha256=digest, n=len(found), size=len(content))


def read_witnesses(folder: Path, bundle: Bundle) -> Packed:
    """Read a bundle and verify it: its bytes by the sha256, and that what it holds fits together.

    Raises RecordError where it is not there, or is not what was written.
    """
    where, path = f"{folder.name}/{bundle.file}", folder / bundle.file
    try:
        digest = sha256_within(path, MOST_ARRAYS, where)
    except OSError as error:
        raise RecordError(f"expected witnesses in {where}, got nothing; fetch them, or measure again") from error
    if digest != bundle.sha256:
        raise RecordError(f"expected {where} to have the sha256 of its name, got {digest}; fetch it again")
    if (size := path.stat().st_size) != bundle.size:
        raise RecordError(f"expected {where} to have {bundle.size} bytes as its record says, got {size}; measure again")
    try:
        require_header(path, where)
        found = _parsed(load_arrays(path.read_bytes()))
    except RecordError:
        raise
    except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"expected a bundle of witnesses in {where}, got {line(error)}; fetch it again") from error
    if len(found) != bundle.n:
        raise RecordError(f"expected {bundle.n} witnesses in {where}, got {len(found)}; fetch it again")
    return found


def _parsed(arrays: Mapping[str, np.ndarray]) -> Packed:
    """Raises ValueError, or KeyError, for arrays that are no bundle."""
    examples, bits, step, shape = (arrays[name] for name in ("example", "bits", "step", "shape"))
    if shape.shape != (3,) or shape.dtype != np.int32 or (shape < 1).any() or math.prod(map(int, shape)) > 2**26:
        raise ValueError(f"images of shape {shape.tolist()}")
    size = (int(shape[0]), int(shape[1]), int(shape[2]))
    kinds = (examples.dtype, bits.dtype, step.dtype) == (np.int32, np.uint8, np.float32)
    if not kinds or any(one.ndim != 1 or len(one) != len(examples) for one in (examples, bits, step)):
        raise ValueError("numbers of examples that differ, or other types")
    if len(examples) and (examples[0] < 0 or (np.diff(examples.astype(np.int64)) < 1).any()):
        raise ValueError("examples that do not rise")  # in int64: a difference of two int32 may wrap around
    codes: dict[int, np.ndarray] = {}
    for width in (*WIDTHS, WHOLE):
        n = int((bits == width).sum())
        if n == 0:
            continue
        held = arrays[f"codes.{width}"]
        row = size if width == WHOLE else (math.ceil(math.prod(size) * width / 8),)
        if held.shape != (n, *row) or held.dtype != (np.float32 if width == WHOLE else np.uint8):
            raise ValueError(f"{held.dtype} {held.shape} as codes of {width} bits")
        codes[width] = held
    if sum(map(len, codes.values())) != len(examples):
        raise ValueError("images of a number of bits that none has")
    if not np.isfinite(step).all():
        raise ValueError("steps that are no numbers")
    return Packed(size, examples, bits, step, codes)
