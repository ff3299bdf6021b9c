"""What counts of an attack's images: toy attacks that break every rule, and the door that none of them can go around."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.attacks.attack import Attack
from harness.attacks.named import ATTACKS
from harness.attacks.pgd import PGD
from harness.attacks.verification import attacked, verified
from harness.data.images import Examples
from harness.errors import BadInput
from harness.measures import Energies, Smoothness
from harness.threat import ThreatModel

THREAT = ThreatModel("Linf", 0.1)


class Bright(nn.Module):
    """Class 1 where the mean pixel is above a half, with a step of the logits there; it counts the images it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        mean = x.flatten(1).mean(1, keepdim=True)
        return torch.cat([-mean, mean - 1], 1)


@dataclass(frozen=True)
class Toy(Attack):
    """An attack that does whatever a function does to the images."""

    does: Callable[[Tensor], Tensor]

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, generator: torch.Generator
    ) -> Tensor:
        return self.does(x)

    def passes(self, classes: int) -> tuple[int, int]:
        return 0, 0


def dark(n: int = 6) -> tuple[Tensor, Tensor]:
    """Images just below the classifier's boundary, with the right labels."""
    return torch.full((n, 1, 4, 4), 0.45), torch.zeros(n, dtype=torch.int64)


def attack(does: Callable[[Tensor], Tensor], model: nn.Module | None = None, threat: ThreatModel = THREAT):
    x, y = dark()
    return Toy(does)(model or Bright(), x, y, threat, torch.Generator())


def with_a_pixel(value: float) -> Callable[[Tensor], Tensor]:
    def does(x: Tensor) -> Tensor:
        x = x + 0.09  # fools the classifier by itself
        x[..., 0, 0] = value
        return x

    return does


@pytest.mark.parametrize(
    ("does", "reasons"),
    [
        (lambda x: x + 0.2, {"outside the ball": 6}),
        (lambda x: x + 0.1001, {"outside the ball": 6}),
        (with_a_pixel(1.5), {"outside [0,1]": 6, "outside the ball": 6}),
        (with_a_pixel(-0.1), {"outside [0,1]": 6, "outside the ball": 6}),
        (with_a_pixel(float("nan")), {"not finite": 6, "logits not finite": 6}),
        (with_a_pixel(float("inf")), {"not finite": 6, "logits not finite": 6}),
    ],
)
def test_an_image_against_the_rules_does_not_count_and_the_natural_one_stands_in(
    does: Callable[[Tensor], Tensor], reasons: dict[str, int]
) -> None:
    x, _ = dark()
    found = attack(does)
    assert not found.broken.any()
    assert not found.counted.any()
    assert torch.equal(found.x_adv, x)
    assert torch.equal(found.logits, Bright()(x))
    assert found.rejected == reasons


def test_an_image_outside_the_box_alone_does_not_count() -> None:
    x, y = torch.full((6, 1, 4, 4), 0.99), torch.ones(6, dtype=torch.int64)
    found = Toy(lambda x: x + 0.05)(Bright(), x, 1 - y, THREAT, torch.Generator())
    assert found.rejected == {"outside [0,1]": 6}


def test_a_legal_image_that_fools_the_classifier_breaks_its_example() -> None:
    found = attack(lambda x: x + 0.0999)
    assert found.broken.all()
    assert found.counted.all()
    assert found.rejected == {}
    assert torch.equal(found.logits, Bright()(found.x_adv))
    harmless = attack(lambda x: x - 0.05)
    assert not harmless.broken.any()
    assert harmless.counted.all()


def test_each_example_is_judged_by_itself() -> None:
    def does(x: Tensor) -> Tensor:
        x = x + 0.09
        x[1] += 0.3
        x[3] = float("nan")
        return x

    x, _ = dark()
    found = attack(does)
    assert found.broken.tolist() == found.counted.tolist() == [True, False, True, False, True, True]
    assert torch.equal(found.x_adv[[1, 3]], x[[1, 3]])
    assert found.rejected == {"not finite": 1, "outside the ball": 1, "logits not finite": 1}


def test_an_image_whose_logits_are_not_finite_does_not_count() -> None:
    class Overflowing(Bright):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).where(x.flatten(1).mean(1, keepdim=True) < 0.5, torch.nan)

    x, _ = dark()
    found = attack(lambda x: x + 0.09, Overflowing())
    assert found.rejected == {"logits not finite": 6}
    assert not found.broken.any()
    assert torch.equal(found.x_adv, x)
    assert torch.equal(found.logits, Bright()(x))


def test_a_misclassified_natural_image_stays_broken_where_the_attacks_image_is_rejected() -> None:
    x, y = dark()
    found = Toy(lambda x: x - 0.5)(Bright(), x, 1 - y, THREAT, torch.Generator())
    assert found.broken.all()
    assert not found.counted.any()


def test_an_attack_that_writes_into_the_images_it_was_given_is_checked_against_the_natural_ones() -> None:
    x, y = dark()
    found = Toy(lambda x: x.add_(0.3))(Bright(), x, y, THREAT, torch.Generator())
    assert torch.equal(x, dark()[0])
    assert found.rejected == {"outside the ball": 6}


def test_verification_costs_one_pass_and_one_more_only_where_the_natural_logits_are_needed_and_unknown() -> None:
    x, y = dark()
    for does, natural, seen in (
        (lambda x: x + 0.09, None, 6),
        (lambda x: x + 0.5, None, 12),
        (lambda x: x + 0.5, Bright()(x), 6),
    ):
        model = Bright()
        Toy(does)(model, x, y, THREAT, torch.Generator(), natural=natural)
        assert model.seen == seen
    model = Bright()
    Toy(lambda x: x + 0.5).legal_images(model, x, y, THREAT, torch.Generator())
    assert model.seen == 0


def test_legal_images_are_the_natural_ones_where_the_rules_are_broken() -> None:
    def does(x: Tensor) -> Tensor:
        x = x + 0.09
        x[0] += 0.5
        return x

    x, y = dark()
    points = Toy(does).legal_images(Bright(), x, y, THREAT, torch.Generator())
    assert torch.equal(points[0], x[0])
    assert torch.equal(points[1:], x[1:] + 0.09)


def test_images_of_another_shape_or_type_are_refused_or_brought_into_the_natural_ones_type() -> None:
    with pytest.raises(BadInput, match=r"expected \(6, 1, 4, 4\) adversarial images, got \(1, 1, 4, 4\); mend"):
        attack(lambda x: x[:1])
    found = attack(lambda x: x.double() + 0.09)
    assert found.x_adv.dtype == torch.float32
    assert found.broken.all()


def test_no_subclass_can_return_what_nobody_verified() -> None:
    with pytest.raises(TypeError, match=r"Sly replaces Attack.__call__, which verifies: put the search into perturb"):

        class Sly(PGD):
            def __call__(self, *arguments: object) -> None:  # type: ignore[override,misc]
                return

    class Mixed:
        def legal_images(self, *arguments: object) -> None:
            return

    with pytest.raises(TypeError, match=r"Slyer replaces Attack.legal_images"):

        class Slyer(Mixed, Toy):  # type: ignore[misc]
            pass

    assert all(isinstance(one, Attack) for one in ATTACKS.values())


def test_an_attack_needs_perturb_and_passes_and_nothing_else() -> None:
    with pytest.raises(TypeError, match=r"abstract class Attack with abstract methods .?passes.?, .?perturb.?"):
        Attack()  # type: ignore[abstract]

    @dataclass(frozen=True)
    class Brighter(Attack):
        """Adds a constant."""

        amount: float = 0.09

        def perturb(
            self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, generator: torch.Generator
        ) -> Tensor:
            return x + self.amount

        def passes(self, classes: int) -> tuple[int, int]:
            return 0, 0

    x, y = dark()
    measure = Energies(attacks={"brighter": Brighter(), "far": Brighter(0.3)})
    assert measure.settings()["attacks"]["far"] == {"attack": "Brighter", "amount": 0.3}
    result = measure(Bright(), Examples(x + torch.linspace(0, 0.01, 6).view(6, 1, 1, 1), y), THREAT)
    summary = measure.summarise(result.arrays, result.notes)
    assert summary.values["brighter.accuracy"].value == 0
    assert summary.values["far.accuracy"].value == 1
    assert np.array_equal(result.arrays["far.marginal_energy_adv"], result.arrays["marginal_energy"])
    assert [flag.message for flag in summary.flags] == [
        "6 images of far break the threat model or have no finite logits: not counted"
    ]


def test_a_path_that_would_lead_out_of_the_ball_has_no_length() -> None:
    class Far(PGD):
        def perturb(self, model, x, y, threat, generator, *, start=None, natural=None) -> Tensor:
            return x + 0.4

    x, y = dark()
    arrays = Smoothness(attack=Far())(Bright(), Examples(x, y), THREAT).arrays
    assert (arrays["path_range"] == 0).all()


def test_the_check_of_images_tells_fooling_from_breaking() -> None:
    x, y = dark()
    found = verified(Bright(), x, y, torch.cat([x[:3] + 0.09, x[3:] + 0.4]), THREAT)
    assert found.fooling.all()
    assert found.broken.tolist() == [True] * 3 + [False] * 3
    assert found.reasons["outside the ball"].tolist() == [False] * 3 + [True] * 3
    both = attacked(Bright(), x, y, found.x_adv, THREAT)
    assert both.broken.tolist() == found.broken.tolist()
