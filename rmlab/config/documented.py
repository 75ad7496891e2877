"""The settings as the files of conf/ write them: each with its default and the comment beside it.

Nothing is composed, so that a command's help is as fast as reading a few small files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import yaml

from rmlab.config.bounds import check_yaml_files
from rmlab.errors import ConfigError
from rmlab.paths import shipped

_EXPERIMENT = "experiment"
_TARGET, _DEFAULTS = "_target_", "defaults"
_PACKAGE = re.compile(r"# @package\s+(\S+)")


@dataclass(frozen=True)
class Documented:
    """A setting. name: in full, as in head.hidden; default: its text in the file, "" for a section."""

    name: str
    default: str
    comment: str

    @property
    def is_section(self) -> bool:
        return not self.default


@dataclass(frozen=True)
class Option:
    """A file of a group, such as conf/head/mlp.yaml for head=mlp. comment: one sentence on it."""

    group: str
    name: str
    file: Path

    @cached_property
    def comment(self) -> str:
        """The comment beside its class, else the first sentence above its settings."""
        beside = next((d.comment for d in self._all if d.name.endswith(_TARGET) and d.comment), "")
        return beside or re.split(r"(?<=[.:])\s", self.heading)[0].rstrip(".:")

    @cached_property
    def heading(self) -> str:
        """The comment above its settings."""
        lines = [line for line in _heading(self._text) if not _PACKAGE.match(line)]
        return " ".join(line.lstrip("#").strip() for line in lines)

    @cached_property
    def settings(self) -> list[Documented]:
        return [d for d in self._all if not d.name.endswith(_TARGET) and d.name != _DEFAULTS]

    @cached_property
    def _text(self) -> str:
        return _text(self.file)

    @cached_property
    def _all(self) -> list[Documented]:
        package = next((found[1] for line in _heading(self._text) if (found := _PACKAGE.match(line))), "")
        prefix = "" if package == "_global_" else package or self.group
        return list(_settings(self._text, self.file, prefix))


@dataclass(frozen=True)
class Group:
    """A group of settings, of which one option is chosen, or several. default: the options, as written."""

    name: str
    default: str
    comment: str
    options: dict[str, Option] = field(default_factory=dict)

    @property
    def chosen(self) -> list[Option]:
        """The options that are the default."""
        names = re.findall(r"[\w.-]+", self.default)
        return [self.options[name] for name in names if name in self.options]


@dataclass(frozen=True)
class Conf:
    """The groups of conf/ and the settings of conf/config.yaml, by name and in the order of that file."""

    groups: dict[str, Group]
    settings: dict[str, Documented]

    @classmethod
    def read(cls, config_dir: Path | None = None) -> Conf:
        """config_dir: a folder with more options, laid out like conf/."""
        file = shipped("conf") / "config.yaml"
        text = _text(file)
        folders = [shipped("conf")]
        entries = list(_choices(text, file))
        if config_dir is not None:
            check_yaml_files(config_dir, [name for name, _, _ in entries])
            folders.append(config_dir)
        groups = {
            name: Group(name, default, comment, _options(name, folders)) for name, default, comment in entries
        }
        settings = {found.name: found for found in _settings(text, file, "") if found.name != _DEFAULTS}
        return cls(groups, settings)

    def within(self, name: str) -> list[Documented]:
        """The setting of this name, or the section of this name and all that is in it."""
        return [d for d in self.settings.values() if d.name == name or d.name.startswith(f"{name}.")]

    def within_groups(self) -> Iterator[Documented]:
        """Yields the settings of each option of the groups, those of the defaults last.

        Experiments are left out: they set what others have.
        """
        for group in self.groups.values():
            options = group.options.values() if group.name != _EXPERIMENT else ()
            for option in sorted(options, key=lambda one: one in group.chosen):
                yield from option.settings

    def brief(self, name: str) -> tuple[str, str]:
        """The name of a group, section or setting with its default, as in head=linear, and its comment.

        A setting within a group is one of the group's default.
        """
        if name in self.groups:
            return f"{name}={self.groups[name].default}", self.groups[name].comment
        known = self.settings | {
            d.name: d for group in self.groups.values() for option in group.chosen for d in option.settings
        }
        found = known[name]
        return f"{name}={found.default}" if found.default else f"{name}.*", found.comment


def _options(group: str, folders: Sequence[Path]) -> dict[str, Option]:
    files = {file.stem: file for folder in folders for file in sorted((folder / group).glob("*.yaml"))}
    return {name: Option(group, name, file) for name, file in files.items()}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from None


def _heading(text: str) -> list[str]:
    """The lines of comments with which a file begins."""
    found = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        found.append(line)
    return found


def _mapping(text: str, file: Path) -> list[tuple[yaml.Node, yaml.Node]]:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is not YAML: {' '.join(str(error).split())}") from None
    if node is None:
        return []
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{file} holds no settings: it is not a mapping of names to values")
    return list(node.value)


def _choices(text: str, file: Path) -> Iterator[tuple[str, str, str]]:
    """Yields each group of the list of defaults with its default and comment."""
    lines = text.splitlines()
    defaults = next(value for key, value in _mapping(text, file) if key.value == _DEFAULTS)
    for item in defaults.value:
        if isinstance(item, yaml.MappingNode):
            key, value = item.value[0]
            if "@" not in key.value:
                yield key.value, _written(text, value), _comment(lines, key, value)


def _settings(text: str, file: Path, prefix: str) -> Iterator[Documented]:
    lines = text.splitlines()

    def found(pairs: Sequence[tuple[yaml.Node, yaml.Node]], above: str) -> Iterator[Documented]:
        for key, value in pairs:
            name = f"{above}.{key.value}" if above else str(key.value)
            comment = _comment(lines, key, value)
            if isinstance(value, yaml.MappingNode) and not value.flow_style:
                yield Documented(name, "", comment)
                yield from found(value.value, name)
            else:
                yield Documented(name, _written(text, value), comment)

    return found(_mapping(text, file), prefix)


def _written(text: str, value: yaml.Node) -> str:
    """A value as the file writes it, in one line."""
    return " ".join(text[value.start_mark.index : value.end_mark.index].split()) or "null"


def _comment(lines: Sequence[str], key: yaml.Node, value: yaml.Node) -> str:
    """The comment after a value, or after the name of a section, and the lines of comments that continue it,
    which are indented further than the name."""
    is_section = isinstance(value, yaml.CollectionNode) and not value.flow_style
    last = key.end_mark if is_section else value.end_mark
    rest = lines[last.line][last.column :].lstrip(": ") if last.line < len(lines) else ""
    if not rest.startswith("#"):
        return ""
    found = [rest]
    for line in lines[last.line + 1 :]:
        words = line.lstrip()
        if not words.startswith("#") or len(line) - len(words) <= key.start_mark.column + 2:
            break
        found.append(words)
    return " ".join(part.lstrip("#").strip() for part in found)
