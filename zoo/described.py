"""What a user says of an entrant that is given by its path or its code: a name and a reference, where it has no card."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

from zoo.cards import require_name
from zoo.entrant import Card, EntrantError

OPTIONS = {"name": "--name", "title": "--title", "link": "--paper"}


@dataclass(frozen=True)
class Said:
    """Texts of a card; empty ones are not said. `link` is the address of a paper."""

    name: str = ""
    title: str = ""
    link: str = ""

    def __bool__(self) -> bool:
        return any((self.name, self.title, self.link))

    def of(self, card: Card) -> Card:
        """The card of an entrant without a file, with what is said. Raises EntrantError for a name that cannot be a file's."""
        if self.name:
            require_name(self.name)
        return replace(card, name=self.name or card.name, title=self.title or card.title, link=self.link or card.link)

    def beside(self, card: Card, path: Path) -> Card:
        """The card that a file gives. Raises EntrantError where something else is said of the entrant."""
        for key, text in self._texts().items():
            if text and text != getattr(card, key):
                raise EntrantError(
                    f"expected {OPTIONS[key]} to say what the card {path} says ({getattr(card, key) or 'nothing'}), got"
                    f" {text[:80]!r}; change the card, or leave {OPTIONS[key]} out"
                )
        return card

    def _texts(self) -> dict[str, str]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


NOTHING = Said()
