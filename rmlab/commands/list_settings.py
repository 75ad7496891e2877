"""rmlab settings: list what can be set, with defaults and comments, as the files of conf/ have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rmlab.config.documented import Conf, Documented, Group, Option
from rmlab.config.hints import nearest
from rmlab.errors import ConfigError
from rmlab.pipeline.stages import STAGES
from rmlab.terminal import say, say_json, say_table


@dataclass
class Listed:
    """Holds what one argument names. groups: shown in brief; of: a group that is shown with its options."""

    groups: list[Group] = field(default_factory=list)
    of: Group | None = None
    option: Option | None = None
    settings: list[Documented] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        groups = [self.of] if self.of else self.groups
        return {
            "groups": [
                {
                    "name": group.name,
                    "default": yaml.safe_load(group.default),
                    "comment": group.comment,
                    "options": [{"name": o.name, "comment": o.comment} for o in group.options.values()],
                }
                for group in groups
            ],
            "settings": [
                {"name": d.name, "default": yaml.safe_load(d.default), "comment": d.comment}
                for d in self.settings
                if not d.is_section
            ],
        }


def settings_command(
    names: Sequence[str], commands: Sequence[str], as_json: bool, config_dir: Path | None
) -> None:
    """Prints what the names stand for; commands: those of rmlab, of which the stages alone have settings."""
    conf = Conf.read(config_dir)
    found = [_named(conf, name, commands) for name in names] or [
        Listed(groups=list(conf.groups.values()), settings=list(conf.settings.values()))
    ]
    if as_json:
        documents = [listed.to_json() for listed in found]
        say_json({key: [row for one in documents for row in one[key]] for key in documents[0]})
        return
    for n, listed in enumerate(found):
        say(*[""] * (n > 0))
        _print(listed)
    if not names:
        say("", "rmlab settings NAME: the options of a group, a section, or what a stage reads, as in fit-rm")


def _named(conf: Conf, name: str, commands: Sequence[str]) -> Listed:
    """Returns what an argument names; of a stage and a group of one name, such as sft, the group."""
    group, _, option = name.partition("=")
    if option and group in conf.groups:
        options = conf.groups[group].options
        if option not in options:
            raise ConfigError(f"{name}: no such option{nearest(option, options)}; {_listed(options)}")
        return Listed(option=options[option], settings=options[option].settings)
    if name in conf.groups:
        of = conf.groups[name]
        return Listed(of=of, settings=[d for chosen in of.chosen for d in chosen.settings])
    if found := conf.within(name):
        return Listed(settings=found)
    if found := [d for d in conf.within_groups() if _is_at(d, name)]:
        return Listed(settings=list({d.name: d for d in found}.values()))
    if decided_by := of_stage(name):
        return _of_stage(conf, decided_by)
    if name in commands:
        raise ConfigError(
            f"{name} is a command; `rmlab {name} --help` tells its options, and `rmlab settings` all settings"
        )
    raise ConfigError(
        f"{name} is no group, section, setting or stage{nearest(name, _names(conf))}; "
        "`rmlab settings` lists all"
    )


def _is_at(setting: Documented, name: str) -> bool:
    return setting.name == name or setting.name.startswith(f"{name}.")


def of_stage(typed: str) -> list[str]:
    """The settings that decide the results of the command of a stage; none for other words."""
    stages = [stage for stage in STAGES if stage.typed == typed]
    return list(dict.fromkeys(name for stage in stages for name in stage.decided_by))


def _of_stage(conf: Conf, decided_by: Sequence[str]) -> Listed:
    found = Listed()
    for name in decided_by:
        if name in conf.groups:
            found.groups.append(conf.groups[name])
        else:
            found.settings += conf.within(name) or _of_default(conf, name)
    return found


def _of_default(conf: Conf, name: str) -> list[Documented]:
    """A setting of the default option of a group, such as prompts.template."""
    chosen = conf.groups[name.partition(".")[0]].chosen
    return [d for option in chosen for d in option.settings if d.name == name]


def _names(conf: Conf) -> list[str]:
    words = [*conf.groups, *conf.settings, *(stage.typed for stage in STAGES)]
    return list(dict.fromkeys([*words, *(d.name for d in conf.within_groups())]))


def _listed(options: dict[str, Option]) -> str:
    return f"there is: {', '.join(sorted(options))}"


def _print(listed: Listed) -> None:
    if listed.of:
        say(f"{listed.of.name}: {listed.of.comment}", "")
        chosen = listed.of.chosen
        options = [
            (f"{listed.of.name}={o.name}{' *' if o in chosen else ''}", o.comment)
            for o in listed.of.options.values()
        ]
        say_table(("option", "meaning"), options)
        say("* the default" + (", which has:" if listed.settings else "; it has nothing to set"))
    if listed.option:
        option = listed.option
        say(f"{option.group}={option.name}: {option.heading or option.comment}")
        if not option.settings:
            say("nothing to set")
    if listed.groups:
        say_table(("group", "default", "meaning"), [(g.name, g.default, g.comment) for g in listed.groups])
    if listed.settings:
        say(*[""] * bool(listed.of or listed.option or listed.groups))
        rows = [(d.name, _shown(d.default), d.comment) for d in listed.settings]
        say_table(("setting", "default", "meaning"), rows)


def _shown(default: str) -> str:
    return "none: give one" if default == "???" else default
