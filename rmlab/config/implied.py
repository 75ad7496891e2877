"""Settings that follow from other settings, filled in before any are checked.

Each function takes the composed configuration and returns it with what follows; it passes over values of a
wrong type, which their own checks report.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmlab.paths import PREFIX

Values = dict[str, Any]
CALLABLE = "rmlab.goldens.callable.Callable"  # the golden reward that calls a function of the user's


def fill_in(values: Values) -> Values:
    """The configuration with all that follows from it."""
    for follow in (_validation_seed, _demonstrations, _functions_by_name, _objectives):
        values = follow(values)
    return values


def _section(values: Values, name: str) -> Values:
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def _validation_seed(values: Values) -> Values:
    """Sets validation.seed=null to the seed, so that each seed draws a validation split of its own."""
    validation = _section(values, "validation")
    if validation.get("seed", 0) is not None:
        return values
    seed = values.get("seed")
    return {**values, "validation": {**validation, "seed": seed if isinstance(seed, int) else 0}}


def _demonstrations(values: Values) -> Values:
    """Takes the demonstrations that come with the prompts unless others are given. sft=auto then means LoRA
    where there are some, and else no fine-tuning. The shipped ones come with shipped prompts alone."""
    demonstrations, sft = _section(values, "demonstrations"), _section(values, "sft")
    if demonstrations.get("path", "") is None:
        prompts = _section(values, "prompts")
        path = prompts.get("demonstrations")
        if _is_shipped(path) and not _is_shipped(prompts.get("path")):
            path = None
        values = {**values, "demonstrations": {**demonstrations, "path": path}}
    if sft.get("method") == "auto":
        is_taught = _section(values, "demonstrations").get("path") is not None
        values = {**values, "sft": {**sft, "method": "lora" if is_taught else "none"}}
    return values


def _is_shipped(path: Any) -> bool:
    return isinstance(path, str) and path.startswith(PREFIX)


def _functions_by_name(values: Values) -> Values:
    """Makes one golden reward of each function of golden.callable, called by its name there."""
    golden = values.get("golden")
    if not isinstance(golden, dict):
        return values
    found: Values = {}
    for key, component in golden.items():
        is_function = isinstance(component, dict) and component.get("_target_") == CALLABLE
        for name, each in _functions(key, component) if is_function else [(key, component)]:
            if name in found or (name != key and name in golden):
                raise ValueError(
                    f"two golden rewards are called {name}; name your functions with golden.{key}.name="
                )
            found[name] = each
    return {**values, "golden": found}


def _functions(key: str, component: Values) -> list[tuple[str, Values]]:
    """(name, component) of each function. One keeps the key as its name, and several have their own, unless
    `name` says otherwise."""
    path, name = component.get("path"), component.get("name")
    rest = {k: v for k, v in component.items() if k != "name"}
    if not isinstance(path, list):
        if name is not None and not isinstance(name, str):
            raise ValueError(f"golden.{key}.path is one function and golden.{key}.name a list: give one name")
        return [(name or key, rest)]
    names = [str(p).rpartition(".")[2] for p in path] if name is None else name
    if not isinstance(names, list) or len(names) != len(path) or not path:
        raise ValueError(
            f"golden.{key}.path has {len(path)} functions; golden.{key}.name must be a list of as many "
            "names, or null for the functions' own"
        )
    return [(str(n), {**rest, "path": p}) for n, p in zip(names, path, strict=True)]


def _objectives(values: Values) -> Values:
    """Adds a golden reward for each objective that is not listed among them: another reward of the scores
    file that golden.file reads, such as that of an embedding set."""
    golden, objectives = values.get("golden"), values.get("objectives")
    if not isinstance(golden, dict) or not isinstance(objectives, Mapping):
        return values
    file = golden.get("file")
    if not isinstance(file, dict) or file.get("reward") is None:
        return values
    more = {name: {**file, "reward": name} for name in objectives if name not in golden}
    return {**values, "golden": {**golden, **more}}
