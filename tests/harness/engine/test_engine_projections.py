"""The projection on a hyperplane within the box: against the reference's, against linear programming, against SLSQP."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from pyautoattack.fab_projections import projection_l2, projection_linf
from scipy.optimize import linprog, minimize
from torch import Tensor

from harness.attacks.engine.projections import onto_hyperplane

Problem = tuple[Tensor, Tensor, Tensor]
both_norms = pytest.mark.parametrize("linf", [True, False], ids=["Linf", "L2"])


def theirs(points: Tensor, w: Tensor, b: Tensor, *, linf: bool) -> Tensor:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.Tensor, "float", torch.Tensor.double)
            return (projection_linf if linf else projection_l2)(points.clone(), w.clone(), b.clone())
    finally:
        torch.set_default_dtype(before)


def problems(kind: str, n: int = 200, size: int = 40, seed: int = 0) -> Problem:
    """Points of the box, normals and offsets; the hyperplane passes through another point of the box but where `kind` says."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    points, w = drawn(n, size), torch.randn(n, size, generator=generator, dtype=torch.float64)
    through = drawn(n, size)
    if kind == "sparse normals":
        w[drawn(n, size) < 0.7] = 0
        w[:, 0] += 0.5
    elif kind == "points at corners":
        points = points.round()
    elif kind == "some pixels at an end":
        points = torch.where(drawn(n, size) < 0.5, points, points.round())
    elif kind == "near":
        through = (points + 1e-3 * (through - 0.5)).clamp(0, 1)
    elif kind == "far":
        through = torch.where(w > 0, 0.02, 0.98) * drawn(n, size).clamp_min(0.9)
    elif kind == "equal weights":
        w = w.sign()
    elif kind == "large weights":
        w = w * 1e4
    b = (w * through).sum(1)
    if kind == "on the plane":
        b = (w * points).sum(1)
    elif kind == "out of reach":
        b = w.clamp_min(0).sum(1) + 1
    elif kind == "out of reach on the other side":
        b = w.clamp_max(0).sum(1) - 1
    return points, w, b


KINDS = ["ordinary", "sparse normals", "points at corners", "some pixels at an end", "near", "far", "equal weights",
         "large weights", "on the plane"]  # fmt: skip


@both_norms
@pytest.mark.parametrize("kind", [*KINDS, "out of reach", "out of reach on the other side"])
def test_moves_are_the_references(kind: str, linf: bool) -> None:
    points, w, b = problems(kind)
    found = onto_hyperplane(points, w, b, linf=linf)
    assert (found - theirs(points, w, b, linf=linf)).abs().max() < 1e-9


@both_norms
@pytest.mark.parametrize("kind", KINDS)
def test_the_point_lies_on_the_hyperplane_and_in_the_box(kind: str, linf: bool) -> None:
    points, w, b = problems(kind)
    there = points + onto_hyperplane(points, w, b, linf=linf)
    assert ((w * there).sum(1) - b).abs().max() < 1e-9 * max(1.0, float(w.abs().sum(1).max()))
    assert there.min() > -1e-12
    assert there.max() < 1 + 1e-12


@both_norms
def test_where_no_point_of_the_box_lies_on_the_hyperplane_each_pixel_goes_to_its_end(linf: bool) -> None:
    points, w, b = problems("out of reach")
    there = points + onto_hyperplane(points, w, b, linf=linf)
    torch.testing.assert_close(there, (w > 0).double(), rtol=0, atol=1e-9)


@both_norms
def test_a_normal_of_zeros_moves_nothing(linf: bool) -> None:
    points, w, b = problems("ordinary", n=4)
    for offset in (b, torch.zeros_like(b), -b):
        found = onto_hyperplane(points, torch.zeros_like(w), offset, linf=linf)
        assert torch.equal(found, torch.zeros_like(points))


@both_norms
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_is_projected_bit_for_bit_alike_in_any_company(dtype: torch.dtype, linf: bool) -> None:
    several = [problems(kind, n=20, size=64) for kind in KINDS]
    points, w, b = (torch.cat(part).to(dtype) for part in zip(*several, strict=True))
    whole = onto_hyperplane(points, w, b, linf=linf)
    for n in (1, 7, 50):
        parts = [
            onto_hyperplane(*rows, linf=linf) for rows in zip(points.split(n), w.split(n), b.split(n), strict=True)
        ]
        assert torch.equal(torch.cat(parts), whole)


@both_norms
def test_in_float32_the_moves_are_those_of_float64_up_to_rounding(linf: bool) -> None:
    for kind in KINDS:
        points, w, b = problems(kind)
        found = onto_hyperplane(points.float(), w.float(), b.float(), linf=linf).double()
        exact = onto_hyperplane(points.float().double(), w.float().double(), b.float().double(), linf=linf)
        gap = (w * (points + found)).sum(1) - b
        assert gap.abs().max() < 1e-5 * max(1.0, float(w.abs().sum(1).max())), kind
        size = (lambda d: d.abs().amax(1)) if linf else (lambda d: d.norm(dim=1))
        assert (size(found) - size(exact)).abs().max() < 1e-4, kind


@pytest.mark.parametrize("kind", ["ordinary", "sparse normals", "some pixels at an end", "far"])
def test_under_linf_the_longest_pixel_is_the_linear_programs(kind: str) -> None:
    points, w, b = problems(kind, n=6, size=12)
    found = onto_hyperplane(points, w, b, linf=True).abs().amax(1)
    for x, normal, offset, length in zip(points.numpy(), w.numpy(), b.numpy(), found.numpy(), strict=True):
        n = len(x)  # the least m with |d_i| <= m
        cost, one = np.r_[np.zeros(n), 1.0], np.ones((n, 1))
        bounds = [*zip(-x, 1 - x, strict=True), (0, None)]
        solved = linprog(
            cost, np.block([[np.eye(n), -one], [-np.eye(n), -one]]), np.zeros(2 * n),
            np.r_[normal, 0.0][None], [offset - normal @ x], bounds,
        )  # fmt: skip
        assert solved.success
        assert length == pytest.approx(solved.fun, abs=1e-8)


@pytest.mark.parametrize("kind", ["ordinary", "sparse normals", "some pixels at an end", "far"])
def test_under_l2_no_shorter_move_is_found_by_quadratic_programming(kind: str) -> None:
    points, w, b = problems(kind, n=4, size=10)
    found = onto_hyperplane(points, w, b, linf=False).norm(dim=1)
    for x, normal, offset, length in zip(points.numpy(), w.numpy(), b.numpy(), found.numpy(), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SLSQP clips its starts to the bounds and says so
            solved = minimize(
                lambda d: d @ d, np.zeros_like(x), jac=lambda d: 2 * d, method="SLSQP",
                bounds=list(zip(-x, 1 - x, strict=True)), options={"ftol": 1e-14, "maxiter": 500},
                constraints={
                    "type": "eq",
                    "fun": lambda d, n=normal, g=offset - normal @ x: n @ d - g,
                    "jac": lambda d, n=normal: n,
                },
            )  # fmt: skip
        assert solved.success
        assert length == pytest.approx(np.sqrt(solved.fun), abs=1e-6)
