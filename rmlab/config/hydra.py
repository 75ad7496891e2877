"""Settings from YAML files and overrides. No other module imports Hydra."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rmlab.config.bounds import check_values, check_yaml_files
from rmlab.config.components import first_problem
from rmlab.config.hints import how_to_quote, nearest, several_values, unknown_setting
from rmlab.config.quoting import in_quotes
from rmlab.config.references import known_references, refusal
from rmlab.config.settings import ALLOW_ENV, GRANTS, Settings
from rmlab.errors import ConfigError, RmlabError
from rmlab.paths import shipped

_LONGEST = 10**5  # characters of an override
_MOST_NESTED = 100  # brackets; Hydra's parser takes seconds for more
_MOST_VALUES = 10**5  # on one axis of a grid


def load_settings(overrides: Sequence[str] = (), config_dir: Path | None = None) -> Settings:
    """The settings of one run: composed by Hydra, then checked."""
    return typed(compose(overrides, config_dir))


def typed(config: dict[str, Any]) -> Settings:
    """The configuration as Settings, after checking types, ranges and unknown keys."""
    check_values(config)
    try:
        return Settings.model_validate(config)
    except ValidationError as error:
        problem = error.errors()[0]
        if problem["type"] == "extra_forbidden":
            raise ConfigError(unknown_setting(".".join(map(str, problem["loc"])))) from None
        raise ConfigError(first_problem(error)) from None


def compose(overrides: Sequence[str] = (), config_dir: Path | None = None) -> dict[str, Any]:
    """The configuration as plain data: conf/config.yaml, the experiment, then the overrides."""
    return compose_both(overrides, config_dir)[0]


def unresolved(overrides: Sequence[str] = (), config_dir: Path | None = None) -> dict[str, Any]:
    """Returns the configuration of compose() with references such as ${input} left unresolved."""
    return _plain(_composed(overrides, config_dir), overrides, resolve=False)


def compose_both(
    overrides: Sequence[str] = (), config_dir: Path | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The results of compose() and unresolved(), from one call of Hydra."""
    config = _composed(overrides, config_dir)
    return _plain(config, overrides, resolve=True), _plain(config, overrides, resolve=False)


def _plain(config: Any, overrides: Sequence[str], resolve: bool) -> dict[str, Any]:
    from omegaconf import OmegaConf

    try:
        with known_references(_allows_environment(overrides)):
            return OmegaConf.to_container(config, resolve=resolve, throw_on_missing=resolve)  # type: ignore[return-value]
    except Exception as error:  # a resolver may raise anything
        raise _cause(error) or ConfigError(_explain(error)) from None


def _composed(overrides: Sequence[str], config_dir: Path | None) -> Any:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    arguments = [*_search_path(config_dir), *last_wins(overrides)]
    _check_grammar(overrides)
    try:
        with (
            initialize_config_dir(str(shipped("conf").resolve()), version_base="1.3", job_name="rmlab"),
            known_references(_allows_environment(overrides)),
        ):
            config = hydra_compose("config", overrides=arguments)
            _check_grants(config, overrides)
            return config
    except Exception as error:  # Hydra's own errors, and anything that a broken YAML file raises
        raise _cause(error) or ConfigError(_explain(error, config_dir)) from None


def _search_path(config_dir: Path | None) -> list[str]:
    if config_dir is None:
        return []
    if not config_dir.is_dir():
        raise ConfigError(f"--config-dir {config_dir} is not a folder")
    groups = [place.name for place in shipped("conf").iterdir() if place.is_dir()]
    check_yaml_files(config_dir, groups)
    folder = in_quotes(f"file://{config_dir.resolve()}")  # in which Hydra resolves no references
    return [f"hydra.searchpath=[{folder}]"]


def last_wins(overrides: Sequence[str]) -> list[str]:
    """Keeps the last override of each key, so that a user's override replaces an arm's."""
    by_key: dict[str, str] = {}
    for override in overrides:
        if "=" not in override and not override.startswith("~"):
            raise ConfigError(
                f"'{override}' is not an override; write key=value, such as head=mlp or seed=3, and "
                "no spaces in the values of an arm"
            )
        key = _key(override)
        by_key.pop(key, None)
        by_key[key] = override
    return list(by_key.values())


def _check_grammar(overrides: Sequence[str]) -> None:
    given = [Override.parse(text) for text in overrides if _parsed(text).is_sweep_override()]
    swept = {each.text: [f"{each.key}={value}" for value in each.values] for each in given}
    if swept:
        raise ConfigError(several_values(overrides, swept))


def _check_grants(config: Any, overrides: Sequence[str]) -> None:
    """Settings that grant something count only on the command line, so that no settings file can allow its
    own."""
    for grant, what in GRANTS.items():
        if config.get(grant) and not any(_key(o) == grant for o in overrides):
            raise ConfigError(f"{grant} {what}, and a file sets it; give it on the command line")


def _allows_environment(overrides: Sequence[str]) -> bool:
    given = [o for o in overrides if _key(o) == ALLOW_ENV]
    return bool(given) and Override.parse(given[-1]).value is True


def _key(override: str) -> str:
    return override.split("=", 1)[0].lstrip("+~")


@dataclasses.dataclass(frozen=True)
class Override:
    """key=value as Hydra reads it; values: one override text for each value that commas or range() give."""

    text: str
    key: str
    values: tuple[str, ...]
    value: Any

    @classmethod
    def parse(cls, text: str) -> Override:
        parsed = _parsed(text)
        several = cls._several(parsed, text) if parsed.is_sweep_override() else (text,)
        value = None if parsed.is_sweep_override() else parsed.value()
        return cls(text, parsed.get_key_element().lstrip("+~"), several, value)

    @staticmethod
    def _several(parsed: Any, text: str) -> tuple[str, ...]:
        try:
            values = tuple(islice(parsed.sweep_string_iterator(), _MOST_VALUES + 1))
        except Exception as error:  # glob(*) and interval(0,1), for example, have no list of values
            raise ConfigError(
                f"cannot list the values of {text} ({error}); write them: {parsed.get_key_element()}=a,b"
            ) from None
        if len(values) > _MOST_VALUES:
            raise ConfigError(f"{text} has more than {_MOST_VALUES:,} values; give fewer")
        return values


@lru_cache(maxsize=4096)
def _parsed(override: str) -> Any:
    """Parses one override with Hydra; the error names the override, which Hydra's own does not."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    try:
        if len(override) > _LONGEST:
            raise ValueError(f"longer than {_LONGEST:,} characters")
        if _depth(override) > _MOST_NESTED:
            raise ValueError(f"more than {_MOST_NESTED} nested brackets")
        return OverridesParser.create().parse_override(override)
    except Exception as error:  # Hydra's own errors, and a RecursionError for deep brackets
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"cannot read the override {override} ({reason}); {how_to_quote(override)}"
        ) from None


def _depth(text: str) -> int:
    """The depth of nested brackets, those within quotes included."""
    opened = deepest = 0
    for c in text:
        opened += (c in "[{(") - (c in "]})")
        deepest = max(deepest, opened)
    return deepest


def _cause(error: BaseException | None) -> RmlabError | None:
    """The error of rmlab behind an error of Hydra, such as that of a file that ${set_file:...} did not
    find."""
    while error is not None and not isinstance(error, RmlabError):
        error = error.__cause__ or error.__context__
    return error


def _of_a_wrong_kind(error: Exception) -> str:
    """Returns the line for an error of Python's own within Hydra, which a value of a wrong kind causes."""
    is_hydras = type(error).__module__.partition(".")[0] in ("hydra", "omegaconf")
    if is_hydras or not isinstance(error, TypeError | ValueError | AttributeError):
        return ""
    return f"a value is of a kind that cannot be there ({error}); `rmlab settings NAME` shows what it may be"


def _explain(error: Exception, config_dir: Path | None = None) -> str:
    """Turns Hydra's message into one line that says what to type."""
    text = str(error)
    if missing := re.search(r"Could not find '([^']+)'", text):
        group, _, option = missing.group(1).rpartition("/")
        choices = re.findall(r"^\t(\S+)$", text, flags=re.MULTILINE)
        known = f"; there is: {', '.join(sorted(choices))}" if choices else ""
        return f"{group}={option}: no such choice{known}{nearest(option, choices)}"
    if unknown := re.search(r"Could not override '([^']+)'", text):
        return unknown_setting(unknown.group(1), config_dir)
    if unknown := re.search(r"Unsupported interpolation type (\S+)(?:\s+full_key: (\S+))?", text):
        return refusal(unknown.group(1), unknown.group(2) or "")
    if refused := re.fullmatch(r"Error merging override ([^=]+)=(.*)", text, flags=re.DOTALL):
        key, value = refused.groups()
        return f"{key} cannot be {value.strip()}; `rmlab settings {key.lstrip('+')}` shows what it may be"
    if needed := re.search(r"Missing mandatory value: \S+\s+full_key: (\S+)", text):
        return f"{needed.group(1)} has no value and needs one: give {needed.group(1)}=..."
    return (
        _of_a_wrong_kind(error)
        or " ".join(text.split())
        or f"the settings cannot be read ({type(error).__name__})"
    )
