"""How numbers, dates and untrusted texts are written where a person reads them. Nothing else formats."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from fractions import Fraction
from urllib.parse import urlsplit

from leaderboards.records.schema import Value, is_number

THIN = "\N{NARROW NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EM DASH}"


def percent(fraction: float, n: int | None = None) -> str:
    """A fraction in percent, without the sign; one digit less where n examples cannot carry two."""
    return _written(100 * fraction, 1 if n is not None and n < 1000 else 2)


def points(difference: float, n: int | None = None) -> str:
    """A difference of fractions in percentage points, with its sign."""
    text = percent(difference, n)
    return text if text.startswith(MINUS) or not text.strip("0.") or not math.isfinite(difference) else f"+{text}"


def decimal(number: float, n: int | None = None) -> str:
    """An energy or another real number: three digits after the point, powers of ten where these say nothing."""
    if math.isfinite(number) and number != 0 and not 1e-3 <= abs(number) < 1e5:
        mantissa, exponent = f"{number:.2e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", MINUS)
    return _written(number, 3)


def score(number: float, n: int | None = None) -> str:
    """A FID or a KID: four digits that say something, however large it is (946.1, 20.14, 0.003412)."""
    if not math.isfinite(number) or number == 0:
        return _written(number, 0)
    size = math.floor(math.log10(abs(number)))
    if not -6 < size < 6:
        return decimal(number)
    return _written(number, min(max(3 - size, 0), 6))


def count(number: float, n: int | None = None) -> str:
    """A whole number with its thousands apart."""
    return f"{number:,.0f}" if math.isfinite(number) else _written(number, 0)


def quantity(number: float, n: int | None = None) -> str:
    """A number of parameters, to about three digits."""
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size and math.isfinite(number):
            return f"{number / size:.{1 if number < 100 * size else 0}f}{THIN}{unit}"
    return count(number)


def duration(seconds: float, n: int | None = None) -> str:
    """Seconds in the unit that a person would use."""
    if not math.isfinite(seconds):
        return _written(seconds, 0)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f}{THIN}{unit}"
    return f"{seconds:.1f}{THIN}s"


def by_unit(unit: str) -> Callable[[float, int | None], str]:
    """What writes the numbers of a unit (one of a quantity's)."""
    return {"fraction": percent, "count": count, "seconds": duration}.get(unit, decimal)


def _written(number: float, digits: int) -> str:
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "∞" if number > 0 else f"{MINUS}∞"
    text = f"{number:.{digits}f}"
    return text.replace("-", "" if not text.strip("-0.") else MINUS)


def interval(value: Value, write: Callable[[float, int | None], str]) -> str:
    """The interval of a value as text, with its level where that is not 95 %; empty where there is none."""
    if not (is_number(value.low) and is_number(value.high)):
        return ""
    level = "" if value.level in (None, 0.95) else f" ({100 * value.level:g}{THIN}%)"
    between = " to " if value.low < 0 else "–"  # a dash between two minus signs would be read as a third
    return f"{write(value.low, value.n)}{between}{write(value.high, value.n)}{level}"


def between(value: Value, write: Callable[[float, int | None], str]) -> str:
    """What is known of a bounded value: its interval as text, whatever its level."""
    return interval(value.model_copy(update={"level": None}), write)


BOUNDED = (
    "Bounded: not every example was attacked to the end. With 95 % confidence the full attack would give a number in this"
    " interval."
)
"""What a reader is told of a bounded value."""


def day(time: datetime | None) -> str:
    """A date as YYYY-MM-DD, which sorts; empty where there is none."""
    return time.strftime("%Y-%m-%d") if time else ""


def eps(size: float) -> str:
    """A radius as k/255 where it is one, else in decimals."""
    if not (math.isfinite(size) and size > 0):
        return f"{size:g}"
    steps = 255 * Fraction(size).limit_denominator(255)
    # the same text also after a trip through float32 or a decimal of eight digits
    whole = steps.denominator == 1 and math.isclose(size, steps / 255, rel_tol=1e-7)
    return f"{steps}/255" if whole else f"{size:g}"


def cut(text: str, length: int) -> str:
    """A text of at most `length` characters on one line; the whole text stands on the entrant's page."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def safe_link(link: str) -> str:
    """A link from a card where it leads to the web by http or https; else empty, so that no page links it."""
    if any(character.isspace() or not character.isprintable() for character in link):
        return ""
    try:
        parts = urlsplit(link)
        return link if parts.scheme in ("http", "https") and parts.hostname else ""
    except ValueError:
        return ""


def citation(authors: str, venue: str, title: str) -> str:
    """Who, and where: 'Ada Lovelace et al., ICML 2023'; the title where neither is known."""
    names = [name.strip() for name in authors.replace(" and ", ",").split(",") if name.strip()]
    who = "" if not names else names[0] if len(names) == 1 else f"{names[0]} et al."
    return ", ".join(part for part in (who, venue.strip()) if part) or title.strip()


def order(number: float | None) -> str:
    """What a column of numbers sorts by; empty, which sorts last, where there is no finite number."""
    return repr(float(f"{number:.10g}")) if is_number(number) else ""
