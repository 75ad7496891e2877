"""Tells what to type in place of an override that cannot be taken: nearest names, where a setting belongs,
and the lines for several values of one setting."""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from rmlab.config.documented import Conf

_ALL = "`rmlab settings` lists all"
_SHOWN = 3
_MOST_ARMS = 8  # in a line that is suggested
# What differs from arm to arm of one run; all else is the same for all arms.
_OF_ARMS = {
    "head", "loss", "pairing", "noise", "selection", "comparisons", "ensemble", "centring", "teacher",
    "embedder",
}  # fmt: skip


def nearest(name: str, known: Iterable[str]) -> str:
    """Words that ask for the most similar name; "" if none is similar."""
    near = get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


def unknown_setting(key: str, config_dir: Path | None = None) -> str:
    """Says that there is no such setting here, and where it belongs, or which one has nearly its name."""
    owners = _owners(Conf.read(config_dir))
    if key in owners and not owners[key]:
        return f"{key} cannot be given so; `rmlab settings {key}` shows what it may be"
    hint = _place(key, owners) or _similar(key, owners)
    return f"unknown setting '{key}'{hint}{' ' if hint.endswith('?') else '; '}{_ALL}"


def _owners(conf: Conf) -> dict[str, list[str]]:
    """The choices, such as head=mlp, that have each setting; an empty list for what is always there."""
    owners: dict[str, list[str]] = {name: [] for name in [*conf.groups, *conf.settings]}
    for group in conf.groups.values():
        for option in group.options.values() if group.name != "experiment" else ():
            for setting in option.settings:
                owners.setdefault(setting.name, []).append(f"{group.name}={option.name}")
    return owners


def _place(key: str, owners: dict[str, list[str]]) -> str:
    """Returns where a setting of exactly this name belongs; "" if there is none."""
    if key in owners:
        return f"; {key} is of {_or(owners[key])}: add {owners[key][0]}" if owners[key] else ""
    last = key.rpartition(".")[2]
    full = [name for name in owners if name.rpartition(".")[2] == last and name != last]
    if not full:
        return ""
    if len(full) > 1 or not owners[full[0]]:
        return f"; did you mean {_or(full)}?"
    return f"; {last} is of {_or(owners[full[0]])}: write {owners[full[0]][0]} {full[0]}=..."


def _similar(key: str, owners: dict[str, list[str]]) -> str:
    """The setting with nearly this name, in full or without what it belongs to."""
    if whole := nearest(key, owners):
        return whole
    lasts: dict[str, list[str]] = {}
    for name in owners:
        lasts.setdefault(name.rpartition(".")[2], []).append(name)
    near = get_close_matches(key.rpartition(".")[2], list(lasts), 1)
    return f"; did you mean {_or(lasts[near[0]])}?" if near else ""


def _or(names: Sequence[str]) -> str:
    shown = [*names[:_SHOWN], *(["another"] if names[_SHOWN:] else [])]
    return " or ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def how_to_quote(override: str) -> str:
    """Returns how to write an override that cannot be read, with its quotes for the shell."""
    key, sign, value = override.partition("=")
    if key.lstrip("+") == "arms" and not set(value) & set("\"'"):
        inside = value.removeprefix("[")
        if inside.count("]") > inside.count("["):
            inside = inside.removesuffix("]")
        quoted = ",".join(f'"{arm.strip()}"' for arm in _at_commas(inside) if arm.strip())
        return f"each arm is in double quotes, and all in single ones: '{key}=[{quoted}]'"
    if not sign or set(value) & set("\"'"):
        return "quote it: 'key=\"value\"'"
    return f"quote it: '{key}=\"{value}\"'"


def _at_commas(text: str) -> list[str]:
    """The text in pieces, cut at the commas that are in no brackets."""
    pieces, depth = [""], 0
    for letter in text:
        depth += (letter in "[{(") - (letter in "]})")
        if letter == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    return pieces


def several_values(overrides: Sequence[str], swept: Mapping[str, Sequence[str]]) -> str:
    """Says that one value is wanted, and the lines that compare several: as arms of a run, or by a sweep.

    swept: of each override with several values, one override for each of them.
    """
    first, *_ = swept
    key = first.partition("=")[0]
    lines = [f"to fit a head for each: {shlex.join(['rmlab', 'sweep', *overrides])}"]
    each = [" ".join(chosen) for chosen in itertools.islice(itertools.product(*swept.values()), _MOST_ARMS)]
    fit = all(text.partition("=")[0].partition(".")[0] in _OF_ARMS for text in swept)
    plain = not any(set(text) & set("\"'\\$") or len(text.split()) != len(swept) for text in each)
    if fit and plain and math.prod(map(len, swept.values())) <= _MOST_ARMS:
        rest = [text for text in overrides if text not in swept and not text.startswith("arms=")]
        arms = "arms=[" + ",".join(f'"{text}"' for text in each) + "]"
        lines.insert(0, f"to compare them as arms of one run: {shlex.join(['rmlab', 'run', *rest, arms])}")
    if plain:
        value = first.partition("=")[2]
        lines.append(f"if the comma is part of the value: '{key}=\"{value}\"'")
    return f"{first} has several values, and here {key} has one; {'; '.join(lines)}"
