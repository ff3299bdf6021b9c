"""How a checkpoint is written: `checkpoint:<path>[@<architecture>][@mean=...][@std=...][@take=...]`.

Nothing in it needs quotes in a shell. An @ before the last slash, or in the name of a file that is there, belongs to the path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from zoo.entrant import EntrantError, did_you_mean

KEYS = ("mean", "std", "take")
_SUFFIX = re.compile(r"(.+)@([^@/\\]*)", re.DOTALL)


@dataclass(frozen=True)
class Reading:
    """How a file of tensors is read, beside its architecture: the normalisation of the input, and which tensors.

    `take` is where in the file they lie ("ema_state_dict", or a prefix such as "model.net"), where several fit.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    take: str = ""

    @property
    def spec(self) -> str:
        """As it is written after an architecture; empty where nothing is said."""
        parts = [f"@{key}={_joined(values)}" for key, values in (("mean", self.mean), ("std", self.std)) if values]
        return "".join(parts) + (f"@take={self.take}" if self.take else "")

    def over(self, card: Reading) -> Reading:
        """This where it says something, else as the card says."""
        said = self.mean is not None or self.std is not None
        mean, std = (self.mean, self.std) if said else (card.mean, card.std)
        return Reading(mean, std, self.take or card.take)


PLAIN = Reading()
"""Nothing is said of how a file is read."""


@dataclass(frozen=True)
class CheckpointSpec:
    """What stands after `checkpoint:`, taken apart."""

    path: Path
    architecture: str | None = None
    reading: Reading = PLAIN

    @classmethod
    def parse(cls, text: str) -> CheckpointSpec:
        """Raises EntrantError for an unknown key and for a mean or std that is no number. Architectures are not looked up."""
        rest, said, architecture = text, {}, None
        while architecture is None and not Path(rest).exists() and (found := _SUFFIX.fullmatch(rest)):
            rest, part = found[1], found[2]
            key, equals, value = part.partition("=")
            if not equals:
                architecture = part
            elif key not in KEYS:
                raise EntrantError(
                    f"expected {', '.join(KEYS)} after @ in {text!r}, got {key!r};{did_you_mean(key, KEYS)} write @key=value"
                )
            elif key in said:
                raise EntrantError(f"expected {key} once in {text!r}, got it twice; leave one out")
            else:
                said[key] = value
        from zoo.normalisation import parse_numbers

        numbers = {key: parse_numbers(key, said[key]) for key in ("mean", "std") if key in said}
        if not said.get("take", "-"):
            raise EntrantError(f"expected where the tensors lie after take= in {text!r}, got nothing; write @take=ema")
        return cls(Path(rest), architecture, Reading(numbers.get("mean"), numbers.get("std"), said.get("take", "")))


def _joined(values: tuple[float, ...]) -> str:
    return ",".join(map(repr, values))
