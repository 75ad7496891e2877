"""Numbers, texts and designs of comparisons as the report words them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

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


def design_words(config: dict[str, Any], all_configs: Sequence[dict[str, Any]]) -> str:
    """`same_prompt · logistic beta=1`: pairing, noise, and what selects where anything does.

    config: of fit_rm; all_configs: of every head of the report. Of the parameters of a component those are
    named that are numbers, and those that another head has set otherwise.
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
    return {None: "null", True: "true", False: "false"}[value] if _is_constant(value) else count(value)


def _is_constant(value: Any) -> bool:
    return value is None or isinstance(value, bool)
