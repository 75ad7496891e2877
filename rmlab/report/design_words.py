"""A design of comparisons in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rmlab.report.wording import count


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
