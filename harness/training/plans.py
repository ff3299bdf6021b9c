"""The plans of training: everything of a recipe but its objective, by the name that the recipe ends in.

Sources: of "paper" the code of Mirza et al. 2024, with what MART's and MAIL's own code says of them; of "overfitting" Rice et
al. 2020, whose schedule shows robust overfitting where one-cycle hides most of it; of "mnist" the code of TRADES (Zhang et
al. 2019). The others are the project's own, for what a CPU can do.
"""

from __future__ import annotations

from typing import Any

OBJECTIVE_NAMES = ("standard", "sat", "trades", "mart", "mail-trades", "weat-nat", "weat-adv")
"""The built-in objectives (harness.training.objectives), for whoever shows their names without waiting for torch."""

PLANS: dict[str, dict[str, Any]] = {
    "paper": {"architecture": "resnet-18", "epochs": 100, "cycle_momentum": True, "clamp_start": False},
    "short": {"architecture": "resnet-18", "epochs": 30},
    "overfitting": {"architecture": "resnet-18", "epochs": 200, "schedule": "piecewise"},
    "compact": {  # two cores train it in an evening: two steps of the attack, the last epochs' weights averaged
        "architecture": "half-resnet-14",
        "epochs": 16,
        "lr": 0.2,
        "attack_steps": 2,
        "attack_step_size": 0.6,
        "ema": 0.995,
        "validation": 0.01,
        "precision": "bf16",
    },
    "mnist": {  # as the code of TRADES trains its network for MNIST, whose learning rate falls at 55, 75 and 90 epochs
        "architecture": "small-cnn",
        "epochs": 100,
        "lr": 0.01,
        "schedule": "piecewise",
        "weight_decay": 0.0,
        "beta": 1.0,
        "attack_steps": 40,
        "attack_step_size": 1 / 30,
        "eps_warm_up": 0.1,
        "crop": 0,
    },
    "mnist-short": {  # a core trains it in a few minutes
        "architecture": "mnist-cnn",
        "epochs": 5,
        "lr": 0.05,
        "nesterov": True,
        "beta": 1.0,
        "attack_steps": 5,
        "attack_step_size": 0.4,
        "eps_warm_up": 0.4,
        "crop": 0,
        "select": "last",  # by one-cycle's end nothing overfits here
    },
    "digits": {
        "architecture": "digits-cnn",
        "epochs": 60,
        "lr": 0.05,
        "nesterov": True,
        "crop": 0,
        "validation": 0.1,
        "select": "last",  # by one-cycle's end nothing overfits here, and 139 images choose by noise
    },
}
"""Everything but the objective, by the name that a recipe ends in."""

OWN: dict[tuple[str, str], dict[str, Any]] = {
    ("standard", "digits"): {"epochs": 30},
    # WEAT's weights, not normalised, are also a smaller learning rate: on digits it needs more epochs to arrive
    ("weat-nat", "digits"): {"epochs": 100},
    ("weat-adv", "digits"): {"epochs": 100},
    # TRADES' beta of 1 weighs its KL; MART's KL is weighted by 1 - p(y|x) and small already
    ("mart", "mnist"): {"beta": None},
    # at a learning rate of 0.05 one of three seeds falls to a constant classifier
    ("mart", "mnist-short"): {"beta": None, "lr": 0.02},
    ("mart", "paper"): {"attack_start": "noise"},  # MART's published code; the other plans start at a uniform point
    ("mail-trades", "paper"): {"warm_up": 0.625},  # MAIL's published code: 75 of 120 epochs; the other plans 0.75
}
"""Fields of one objective in one plan."""
