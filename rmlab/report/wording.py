"""Numbers, texts and designs of comparisons in the words of the report."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

DASH = "—"
MINUS = "−"
# HTML has no control characters, and with direction overrides a response could rearrange the page.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """The text with U+FFFD in place of characters that a page cannot show."""
    return _UNPRINTABLE.sub("\ufffd", text.replace("\r\n", "\n"))


def shorten(text: str, length: int) -> str:
    """The text in one line of at most `length` characters, for labels in figures."""
    line = " ".join(clean(text).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def shorten_name(name: str, length: int) -> str:
    """The name in one line of at most `length` characters, cut in the middle: arms often begin alike."""
    line = " ".join(clean(name).split())
    head = length // 3
    return line if len(line) <= length else f"{line[:head]}…{line[head + 1 - length :]}"


def number(value: float | None, digits: int = 3, signed: bool = False) -> str:
    """A number with a true minus sign; a dash for None and NaN."""
    if value is None or not math.isfinite(value):
        return DASH
    rounded = round(float(value), digits) + 0.0  # + 0.0 turns -0.0 into 0.0
    return f"{rounded:{'+' if signed else ''},.{digits}f}".replace("-", MINUS)


def percent(value: float, digits: int = 1) -> str:
    """A number of percent as `12.5%`."""
    text = number(value, digits)
    return text if text == DASH else f"{text}%"


def interval(low: float, high: float, digits: int = 3) -> str:
    """An interval as `[low, high]`; empty if an end is not finite."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{number(low, digits)}, {number(high, digits)}]"


def count(value: object) -> str:
    """Whole numbers with thousands separators, other numbers with four digits, other values as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return DASH if value is None else str(value)
    if not math.isfinite(value):
        return DASH
    text = f"{int(value):,}" if float(value).is_integer() else f"{value:.4g}"
    return text.replace("-", MINUS)


def duration(seconds: float) -> str:
    """A time in readable units: 0.4 s, 12 s, 3 min 05 s, 2 h 10 min."""
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
    """The names as a list in words: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def design_words(config: dict[str, Any], all_configs: Sequence[dict[str, Any]]) -> str:
    """A design in words, such as `same_prompt · logistic beta=1`: pairing, noise, and selection if any.

    config: of the head's fit_rm; all_configs: those of all heads of the report. Of a component's parameters,
    only numbers are named, and those that differ between heads.
    """
    words = [_component(config, all_configs, "pairing"), _noise(config, all_configs)]
    rounds = config.get("comparisons", {}).get("rounds", 1)
    if rounds > 1:
        words.append(f"{_component(config, all_configs, 'selection')} in {rounds} rounds")
    return " · ".join(word for word in words if word)


def _noise(config: dict[str, Any], all_configs: Sequence[dict[str, Any]]) -> str:
    noise = config.get("noise", {})
    if _name(noise) == "logistic" and noise.get("beta") is None and noise.get("error") is None:
        return "no noise"
    return _component(config, all_configs, "noise")


def _component(config: dict[str, Any], all_configs: Sequence[dict[str, Any]], group: str) -> str:
    mine = config.get(group, {})
    alike = [c.get(group, {}) for c in all_configs if _name(c.get(group, {})) == _name(mine)]
    named = [
        f"{key}={_value(value)}"
        for key, value in mine.items()
        if key != "_name_" and (_is_number(value) or any(other.get(key) != value for other in alike))
    ]
    return " ".join([_name(mine), *named]).strip()


def _name(component: dict[str, Any]) -> str:
    return str(component.get("_name_", ""))


def _is_number(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_number(v) for v in value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(v) for v in value)}]"
    is_constant = value is None or isinstance(value, bool)
    return {None: "null", True: "true", False: "false"}[value] if is_constant else count(value)
