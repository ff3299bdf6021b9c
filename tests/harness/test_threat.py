"""The ball, the projection on it, and the check of what attacks return."""

from __future__ import annotations

import pytest
import torch

from harness.errors import BadInput
from harness.threat import ThreatModel


def images(n: int = 40, seed: int = 0) -> torch.Tensor:
    return torch.rand((n, 3, 5, 5), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("threat", [ThreatModel("Linf", 8 / 255), ThreatModel("L2", 0.5), ThreatModel("Linf", 0.0)])
def test_whatever_is_projected_is_accepted(threat: ThreatModel) -> None:
    x = images()
    far = x + 3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    assert threat.verify(x, threat.project(x, far)).legal.all()


@pytest.mark.parametrize("threat", [ThreatModel("Linf", 0.1), ThreatModel("L2", 0.5)])
def test_a_point_of_the_ball_and_box_is_its_own_projection(threat: ThreatModel) -> None:
    x = images()
    inside = threat.project(x, threat.random_point(x, torch.Generator().manual_seed(2)))
    torch.testing.assert_close(threat.project(x, inside), inside, rtol=0, atol=1e-6)


def test_the_linf_projection_is_the_nearest_point() -> None:
    threat, x = ThreatModel("Linf", 0.1), images(5)
    far = x + torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
    nearest = torch.stack(
        [
            torch.tensor([min(max(float(f), max(0.0, float(o) - 0.1)), min(1.0, float(o) + 0.1)) for f, o in pairs])
            for pairs in (zip(a.flatten(), b.flatten(), strict=True) for a, b in zip(far, x, strict=True))
        ]
    ).view_as(x)
    torch.testing.assert_close(threat.project(x, far), nearest, rtol=0, atol=1e-6)


def test_each_way_of_breaking_the_rules_is_seen_and_counted() -> None:
    threat, x = ThreatModel("Linf", 0.1), torch.full((5, 1, 2, 2), 0.95)
    x_adv = x.clone()
    x_adv[1, 0, 0, 0] = 1.01  # inside the ball, outside the box
    x_adv[2, 0, 0, 0] = 0.84  # outside the ball
    x_adv[3, 0, 0, 0] = float("nan")
    x_adv[4, 0, 0, 0] = 0.8500001  # inside
    found = threat.verify(x, x_adv)
    assert found.legal.tolist() == [True, False, False, False, True]
    assert found.outside_box.tolist() == [False, True, False, False, False]
    assert found.outside_ball.tolist() == [False, False, True, False, False]
    assert found.not_finite.tolist() == [False, False, False, True, False]


def test_the_tolerance_admits_rounding_and_not_a_thousandth_of_a_grey_level() -> None:
    threat, x = ThreatModel("Linf", 8 / 255), images()
    exact = (x.double() + 8 / 255).clamp(0, 1).float()
    assert threat.verify(x, exact).legal.all()
    mid = torch.full((1, 1, 1, 1), 0.5)
    assert not threat.verify(mid, mid + 8 / 255 + 0.01 / 255).legal.any()


def test_distances_equal_numpy_norms() -> None:
    x, y = images(4), images(4, seed=9)
    difference = (y.double() - x.double()).flatten(1).numpy()
    assert ThreatModel("Linf", 1).distance(x, y).tolist() == pytest.approx(abs(difference).max(1).tolist())
    assert ThreatModel("L2", 1).distance(x, y).tolist() == pytest.approx(((difference**2).sum(1) ** 0.5).tolist())


def test_random_points_fill_the_l2_ball() -> None:
    """Away from the box the radius of a uniform point, to the power of the dimension, is uniform."""
    threat, x = ThreatModel("L2", 0.1), torch.full((4000, 1, 2, 2), 0.5)
    radius = threat.distance(x, threat.random_point(x, torch.Generator().manual_seed(0))) / 0.1
    assert (radius**4).mean().item() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("norm", "eps"), [("Linf", -0.1), ("Linf", float("nan")), ("L2", float("inf")), ("L1", 0.1)])
def test_a_threat_model_that_makes_no_sense_is_refused(norm: str, eps: float) -> None:
    with pytest.raises(BadInput, match=r"expected .* got"):
        ThreatModel(norm, eps)  # type: ignore[arg-type]
