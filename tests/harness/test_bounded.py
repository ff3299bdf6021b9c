"""A bounded answer holds what the full attack would give in 95 of 100 draws, and is told apart from a complete one."""

from __future__ import annotations

from collections import Counter
from functools import cache
from math import comb

import numpy as np
import pytest
import torch

from harness.attacks.engine.draws import image_keys
from harness.attacks.engine.outcome import SURVIVED
from harness.measures.bounded import FIRST, SHARE, Bound, chosen, chosen_keys, most_breakable, through


def none_broken(survivors: int, breakable: int, sampled: int) -> float:
    """The chance that a random sample misses every breakable point, in whole numbers."""
    return comb(survivors - breakable, sampled) / comb(survivors, sampled)


def test_none_broken_of_597_of_5966_means_at_most_28_more() -> None:
    assert most_breakable(5966, 597) == 28
    assert none_broken(5966, 28, 597) > 0.05 >= none_broken(5966, 29, 597)


@pytest.mark.parametrize("survivors", [1, 2, 7, 12])
def test_the_bound_is_the_largest_number_that_a_count_of_all_samples_does_not_exclude(survivors: int) -> None:
    for sampled in range(survivors + 1):
        for broke in range(sampled + 1):
            possible = [
                breakable
                for breakable in range(broke, survivors - sampled + broke + 1)
                if sum(
                    comb(breakable, k) * comb(survivors - breakable, sampled - k)
                    for k in range(broke + 1)
                    if k <= breakable and sampled - k <= survivors - breakable
                )
                / comb(survivors, sampled)
                > 0.05
            ]
            assert most_breakable(survivors, sampled, broke) == max(possible)


def test_without_a_sample_nothing_is_excluded_and_with_a_whole_one_nothing_is_left() -> None:
    assert most_breakable(40, 0) == 40
    assert most_breakable(40, 40) == 0
    assert most_breakable(40, 40, 3) == 3
    with pytest.raises(ValueError, match="broke <= sampled"):
        most_breakable(40, 41)


@pytest.mark.parametrize("survivors", [30, 200, 1000])
def test_a_bound_is_too_low_in_at_most_one_of_twenty_samples_however_many_points_are_breakable(survivors: int) -> None:
    sampled = survivors // 10
    bound = most_breakable(survivors, sampled)
    assert all(none_broken(survivors, hidden, sampled) <= 0.05 for hidden in range(bound + 1, survivors + 1))


DRAWS = 1000


@cache
def drawn(survivors: int) -> torch.Tensor:
    """(DRAWS, survivors) bool: which of so many images are chosen under each seed."""
    keys = image_keys(torch.arange(survivors, dtype=torch.float32).view(-1, 1, 1, 1) / survivors)
    return torch.stack([chosen_keys(keys, seed) for seed in range(DRAWS)])


@pytest.mark.parametrize("survivors", [50, 360, 6000])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.0025, 0.01, 0.02, 0.03, 0.05])
def test_the_interval_holds_the_full_result_in_at_least_950_of_1000_draws(survivors: int, share: float) -> None:
    """The whole procedure: points chosen by key, the bound where none of them breaks, else the rest is run."""
    sample, hidden = drawn(survivors), round(share * survivors)
    full = (survivors - hidden) / survivors
    bounded: Counter[Bound] = Counter(
        Bound(n=survivors, survivors=survivors, sampled=sampled, broke=broke)
        for sampled, broke in zip(sample.sum(1).tolist(), sample[:, :hidden].sum(1).tolist(), strict=True)
    )
    held = 0
    for bound, draws in bounded.items():
        if not bound.holds:
            held += draws  # the rest is run: what stands in the record is the full result
            continue
        value = bound.value
        assert value.value is None
        held += draws * (float(value.low or 0) <= full <= float(value.high or 0))
    assert sum(bounded.values()) == DRAWS
    assert held >= 950


def test_the_choice_depends_on_the_seed_and_the_image_alone() -> None:
    x = torch.rand(3000, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    whole = chosen(x, 7)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    assert torch.equal(chosen(x[order], 7), whole[order])
    assert torch.equal(torch.cat([chosen(part, 7) for part in x.split(77)]), whole)
    assert not torch.equal(chosen(x, 8), whole)
    assert abs(whole.double().mean().item() - SHARE) < 0.02
    assert torch.equal(through(x, 7), torch.where(whole, SURVIVED, FIRST).to(torch.int8))


def test_deciding_shard_by_shard_would_promise_more_than_it_holds() -> None:
    """Why the rule is applied to all examples at once: of 40 shards those without a hit would look better than they are."""
    random = np.random.default_rng(0)
    shards, size, hidden, draws = 40, 30, 60, 200
    breakable = np.arange(shards * size) % (shards * size // hidden) == 0
    held = 0
    for _ in range(draws):
        sample = random.random(shards * size) < SHARE
        hit = (sample & breakable).reshape(shards, size).any(1)
        left = np.repeat(~hit, size)  # the shards without a hit are bounded together, the others are completed
        rest = most_breakable(int(left.sum()), int((left & sample).sum()))
        held += int((left & breakable).sum()) <= rest
    assert held < 0.5 * draws


def arrays(stage: list[int], reached: list[int]) -> dict[str, np.ndarray]:
    return {"stage": np.array(stage, dtype=np.int8), "reached": np.array(reached, dtype=np.int8)}


def test_a_bound_is_read_from_what_broke_each_example_and_how_far_it_was_attacked() -> None:
    found = Bound.of(arrays([-1, 0, 1, 4, 4, 4], [0, 0, 1, 2, 4, 2]))
    assert found == Bound(n=6, survivors=3, sampled=1, broke=0)
    assert found.holds
    assert found.value.high == pytest.approx(0.5)
    assert found.value.low == pytest.approx(1 / 6)
    assert "1 of the 3 examples" in found.words


def test_a_sampled_point_that_broke_or_nothing_left_out_asks_for_the_whole_attack() -> None:
    broke = Bound.of(arrays([-1, 2, 4, 4], [0, 2, 2, 2]))
    assert broke == Bound(n=4, survivors=3, sampled=1, broke=1)
    assert not broke.holds
    assert not Bound.of(arrays([-1, 0, 4], [0, 0, 4])).holds
    assert not Bound.of(arrays([-1, 0, 1], [0, 0, 1])).holds
