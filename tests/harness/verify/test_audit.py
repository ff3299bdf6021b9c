"""An audit attacks survivors again, chosen by key, and says what its count excludes."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
import torch

from harness.attacks.engine.draws import image_keys
from harness.data.datasets import digits
from harness.threat import ThreatModel
from harness.verify.audit import audited, chosen, least_breakable
from harness.verify.verdict import Outcome


@pytest.mark.parametrize("survivors", [1, 2, 7, 11])
def test_the_lower_bound_is_the_smallest_number_that_a_count_of_all_samples_does_not_exclude(survivors: int) -> None:
    for sampled in range(survivors + 1):
        for broke in range(sampled + 1):
            possible = [
                breakable
                for breakable in range(broke, survivors - sampled + broke + 1)
                if sum(
                    comb(breakable, k) * comb(survivors - breakable, sampled - k)
                    for k in range(broke, sampled + 1)
                    if k <= breakable and sampled - k <= survivors - breakable
                )
                / comb(survivors, sampled)
                > 0.05
            ]
            assert least_breakable(survivors, sampled, broke) == min(possible)


def test_the_choice_depends_on_the_images_and_the_seed_and_on_nothing_else() -> None:
    x = torch.rand(40, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    rows = chosen(image_keys(x), 1, 10)
    assert len(rows) == 10
    assert torch.equal(rows, rows.sort().values)
    turned = torch.arange(39, -1, -1)
    assert torch.equal(turned[chosen(image_keys(x[turned]), 1, 10)].sort().values, rows)
    assert not torch.equal(chosen(image_keys(x), 2, 10), rows)
    assert len(chosen(image_keys(x), 1, 99)) == 40


def test_what_survives_again_bounds_the_share_of_all_survivors(place) -> None:
    audit = place.verdict(audit=3).audit
    assert audit is not None
    assert (audit.attacked, audit.broken, audit.seed, audit.least) == (3, 0, 1, 0.0)
    assert 0 < audit.most < 1
    every = place.verdict(audit=1000, seed=9).audit
    assert (every.attacked, every.most, every.seed) == (audit.survivors, 0.0, 9)


def test_survivors_that_break_are_counted_saved_and_told(place, tmp_path) -> None:
    """Witnesses withheld: the record then says too much, agrees with itself, and its audit tells."""
    hidden = place.withheld()
    shape = digits("test").shape
    assert place.verdict().outcome is Outcome.PROVED, "a bound that is too high is a bound"
    verdict = place.verdict(audit=1000, save=tmp_path / "saved")
    assert verdict.outcome is Outcome.DIFFERS
    assert "AutoAttack with seed 1 breaks more than 1 % of the survivors" in verdict.line
    said = f"audit: {(n := verdict.audit.survivors)} of {n} survivors attacked again, {len(hidden)} broken"
    assert said in verdict.details, "all were attacked: there is no share to bound"
    with np.load(tmp_path / "saved" / "mine.npz") as saved:
        assert saved["index"].tolist() == hidden.tolist()
        assert saved["image"].shape == (len(hidden), *shape[1:], shape[0])
        assert saved["image"].dtype == np.float32


def test_no_survivor_is_no_error(place) -> None:
    class Nothing(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise AssertionError("nothing is to be asked")

    found = audited(
        Nothing(), digits("test"), np.zeros(0, np.int64), ThreatModel("Linf", 0.1), torch.device("cpu"), 5, 1
    )
    assert (found.audit.survivors, found.audit.most, found.differs) == (0, 0.0, "")


@pytest.mark.slow
def test_what_an_audit_breaks_is_handed_in_and_what_is_best_known_is_proved(unlimited_place, harness_here) -> None:
    place = unlimited_place
    robust = place.record.measurements["autoattack"].values["autoattack_accuracy"].value
    hidden = place.withheld(slice(3))
    done = harness_here("verify", "runs", "--audit", "1000", "--save", "saved", cwd=place.root)
    assert done.returncode == 1, done.stdout
    given = ("saved/mine.npz", "--suite", "digits", "--entrant", "mine", "--out", "runs", "--who", "A", "--how", "B")
    done = harness_here("challenge", *given, cwd=place.root)
    assert done.returncode == 0, done.stderr
    assert place.record.best_known.value.value <= robust
    done = harness_here("verify", "runs", cwd=place.root)
    assert done.returncode == 0, done.stdout
    assert f"{len(hidden)} more broken" in done.stdout
    place.edit(lambda plain: plain["best_known"]["value"].update(value=robust + 0.01))
    assert harness_here("verify", "runs", cwd=place.root).returncode == 1
