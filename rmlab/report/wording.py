"""Numbers and texts as the page writes them."""

from __future__ import annotations

import math
import re

DASH = "—"
MINUS = "−"
# Control characters are not HTML text, and direction overrides would let a response rearrange the page.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """The text without characters that a page cannot show; U+FFFD marks where they were."""
    return _UNPRINTABLE.sub("\ufffd", text.replace("\r\n", "\n"))


def shorten(text: str, length: int) -> str:
    """One line of at most `length` characters, for labels in figures."""
    line = " ".join(clean(text).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def shorten_name(name: str, length: int) -> str:
    """One line of at most `length` characters, cut in the middle: names of arms often begin alike."""
    line = " ".join(clean(name).split())
    head = length // 3
    return line if len(line) <= length else f"{line[:head]}…{line[head + 1 - length :]}"


def number(value: float | None, digits: int = 3, signed: bool = False) -> str:
    """A number with a true minus sign; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    rounded = round(float(value), digits) + 0.0  # + 0.0 turns -0.0 into 0.0
    return f"{rounded:{'+' if signed else ''},.{digits}f}".replace("-", MINUS)


def percent(value: float, digits: int = 1) -> str:
    """`12.5%`, of a number that is in percent already."""
    text = number(value, digits)
    return text if text == DASH else f"{text}%"


def interval(low: float, high: float, digits: int = 3) -> str:
    """`[low, high]`, or nothing when there is no interval."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{number(low, digits)}, {number(high, digits)}]"


def count(value: object) -> str:
    """Whole numbers with thousands, other numbers with four digits, the rest as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return DASH if value is None else str(value)
    if not math.isfinite(value):
        return DASH
    text = f"{int(value):,}" if float(value).is_integer() else f"{value:.4g}"
    return text.replace("-", MINUS)


def duration(seconds: float) -> str:
    """Seconds as a person says them: 0.4 s, 12 s, 3 min 05 s, 2 h 10 min."""
    if not math.isfinite(seconds):
        return DASH
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def listed(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
