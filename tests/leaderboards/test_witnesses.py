"""Bundles of witnesses: what is packed comes back bit for bit, small, and nothing else passes for it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from leaderboards.records.schema import Bundle, RecordError
from leaderboards.records.witnesses import (
    WHOLE,
    WIDTHS,
    Packed,
    decoded,
    levels,
    packed,
    quantised,
    read_witnesses,
    write_witnesses,
)

SHAPE = (3, 7, 5)


def natural(n: int, seed: int = 0) -> np.ndarray:
    numbers = np.random.default_rng(seed).integers(0, 256, (n, *SHAPE))
    return (numbers / 255).astype(np.float32)


def on_a_grid(x: np.ndarray, bits: int, eps: float = 0.1, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Images whose perturbations are whole steps, and the steps."""
    step = np.full(len(x), eps / levels(bits), np.float32)
    wanted = x + np.random.default_rng(seed).uniform(-eps, eps, x.shape).astype(np.float32)
    return decoded(x, quantised(x, wanted.clip(0, 1), step, bits), step), step


@pytest.mark.parametrize("bits", WIDTHS)
def test_what_lies_on_a_grid_is_packed_to_so_many_bits_and_comes_back_bit_for_bit(bits: int, tmp_path: Path) -> None:
    x = natural(20)
    x_adv, step = on_a_grid(x, bits)
    bundle = write_witnesses(tmp_path, packed(np.arange(20), x, x_adv, np.full(20, bits), step))
    found = read_witnesses(tmp_path, bundle)
    assert (found.bits == bits).all()
    assert found.images(x).tobytes() == x_adv.tobytes()
    assert found.codes[bits].shape[1] == -(-np.prod(SHAPE) * bits // 8)


def test_an_image_off_the_grid_is_kept_whole(tmp_path: Path) -> None:
    x = natural(6)
    x_adv, step = on_a_grid(x, 4)
    x_adv[2, 0, 0, 0] += np.float32(1e-7) if x_adv[2, 0, 0, 0] < 0.5 else np.float32(-1e-7)
    found = packed(np.arange(6), x, x_adv, np.full(6, 4), step)
    assert found.bits.tolist() == [4, 4, WHOLE, 4, 4, 4]
    assert found.images(x).tobytes() == x_adv.tobytes()


def test_without_a_word_on_how_every_image_is_kept_whole() -> None:
    x, x_adv = natural(3), natural(3, seed=5)
    found = packed(np.arange(3), x, x_adv)
    assert (found.bits == WHOLE).all()
    assert found.images(x).tobytes() == x_adv.tobytes()


def test_the_order_in_which_examples_come_changes_no_byte(tmp_path: Path) -> None:
    x = natural(9)
    x_adv, step = on_a_grid(x, 6)
    bits = np.where(np.arange(9) % 2 == 0, 6, WHOLE)
    order = np.random.default_rng(3).permutation(9)
    straight = write_witnesses(tmp_path, packed(np.arange(9) + 40, x, x_adv, bits, step))
    shuffled = write_witnesses(tmp_path, packed(order + 40, x[order], x_adv[order], bits[order], step[order]))
    assert straight == shuffled
    assert read_witnesses(tmp_path, straight).images(x).tobytes() == x_adv.tobytes()


def test_pixels_at_the_edge_of_the_box_come_back_exactly() -> None:
    x = np.full((1, *SHAPE), 0.03, np.float32)
    x_adv = np.zeros_like(x)  # 0.03 away, where 0.1 is allowed: no whole number of steps, but the box's edge
    found = packed(np.arange(1), x, x_adv, np.array([2]), np.array([0.1], np.float32))
    assert found.bits.tolist() == [2]
    assert found.images(x).tobytes() == x_adv.tobytes()


def test_some_of_a_bundle_are_the_same_images() -> None:
    x = natural(12)
    x_adv, step = on_a_grid(x, 4)
    bits = np.where(np.arange(12) % 3 == 0, WHOLE, 4)
    found = packed(np.arange(12), x, x_adv, bits, step).of(np.array([0, 1, 5, 11, 99]))
    assert found.examples.tolist() == [0, 1, 5, 11]
    assert found.images(x[[0, 1, 5, 11]]).tobytes() == x_adv[[0, 1, 5, 11]].tobytes()


def test_an_example_given_twice_is_refused() -> None:
    x = natural(2)
    with pytest.raises(ValueError, match="twice"):
        packed(np.array([4, 4]), x, x)


def test_an_empty_bundle_can_be_kept(tmp_path: Path) -> None:
    x = natural(0)
    bundle = write_witnesses(tmp_path, packed(np.arange(0), x, x))
    assert len(read_witnesses(tmp_path, bundle)) == bundle.n == 0


def test_a_missing_or_truncated_bundle_or_one_with_a_changed_byte_is_named_in_one_line(tmp_path: Path) -> None:
    x = natural(4)
    bundle = write_witnesses(tmp_path, packed(np.arange(4), x, *[on_a_grid(x, 4)[0]]))
    file = tmp_path / bundle.file
    content = file.read_bytes()
    for change in (content[:-9], content[:100] + bytes([content[100] ^ 1]) + content[101:]):
        file.write_bytes(change)
        with pytest.raises(RecordError, match="to have the sha256 of its name") as error:
            read_witnesses(tmp_path, bundle)
        assert "\n" not in str(error.value)
    file.unlink()
    with pytest.raises(RecordError, match="got nothing"):
        read_witnesses(tmp_path, bundle)


def test_a_bundle_of_another_number_or_of_arrays_that_do_not_fit_is_refused(tmp_path: Path) -> None:
    x = natural(3)
    found = packed(np.arange(3), x, x)
    bundle = write_witnesses(tmp_path, found)
    with pytest.raises(RecordError, match="expected 4 witnesses"):
        read_witnesses(tmp_path, bundle.model_copy(update={"n": 4}))
    falling = Packed(found.shape, found.examples[::-1].copy(), found.bits, found.step, found.codes)
    fewer = Packed(found.shape, found.examples, found.bits, found.step, {WHOLE: found.codes[WHOLE][:2]})
    nothing = Packed((0, 7, 5), found.examples, found.bits, found.step, found.codes)
    for wrong in (falling, fewer, nothing):
        with pytest.raises(RecordError, match="a bundle of witnesses"):
            read_witnesses(tmp_path, write_witnesses(tmp_path, wrong))


def test_a_bundle_is_named_by_its_sha256() -> None:
    with pytest.raises(ValueError, match="sha256"):
        Bundle(sha256="../../etc/passwd", n=1, size=1)


@pytest.mark.parametrize(
    "changed",
    [
        {"shape": np.array([np.inf, 2, 2], np.float32)},
        {"shape": np.array([1.5, 2, 2], np.float32)},
        {"example": np.array([5, -2147483646], np.int32)},
        {"example": np.array([2147483647, -100], np.int32)},
    ],
    ids=["infinite", "no whole number", "wraps around", "wraps to a valid end"],
)
def test_numbers_that_only_look_like_a_bundles_are_refused(tmp_path: Path, changed: dict[str, np.ndarray]) -> None:
    arrays = {
        "example": np.array([0, 1], np.int32),
        "bits": np.full(2, WHOLE, np.uint8),
        "step": np.zeros(2, np.float32),
        "shape": np.array([1, 2, 2], np.int32),
        "codes.32": np.zeros((2, 1, 2, 2), np.float32),
    }
    for held, right in ((arrays, True), ({**arrays, **changed}, False)):
        content = save(held)
        bundle = Bundle(sha256=hashlib.sha256(content).hexdigest(), n=2, size=len(content))
        (tmp_path / bundle.file).write_bytes(content)
        if right:
            assert len(read_witnesses(tmp_path, bundle)) == 2
        else:
            with pytest.raises(RecordError, match="expected a bundle of witnesses"):
                read_witnesses(tmp_path, bundle)


def test_a_bundle_of_another_size_than_the_record_says_is_refused(tmp_path: Path) -> None:
    bundle = write_witnesses(tmp_path, packed(np.arange(3), natural(3), natural(3, seed=5)))
    with pytest.raises(RecordError, match=f"to have 1 bytes as its record says, got {bundle.size}"):
        read_witnesses(tmp_path, bundle.model_copy(update={"size": 1}))


@pytest.mark.parametrize("step", [None, np.array([0.0, np.nan, -0.1], np.float32)])
def test_a_step_that_is_none_keeps_the_image_whole(step: np.ndarray | None) -> None:
    x, x_adv = natural(3), natural(3, seed=5)
    found = packed(np.arange(3), x, x_adv, np.full(3, 4), step)
    assert found.bits.tolist() == [WHOLE] * 3
    assert found.images(x).tobytes() == x_adv.tobytes()


def test_a_step_beyond_float32_is_clipped_like_any_other() -> None:
    codes = np.full((1, int(np.prod(SHAPE))), 127, np.uint8)
    held = Packed(SHAPE, np.zeros(1, np.int32), np.array([8], np.uint8), np.array([3e38], np.float32), {8: codes})
    assert (held.images(natural(1)) == 1).all()
