"""Plans a release: from its settings to the artifacts that its embedding set is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rmlab.config.components import component_name
from rmlab.config.grid import Composer
from rmlab.config.settings import Settings
from rmlab.errors import ConfigError, RmlabError
from rmlab.paths import user_path
from rmlab.pipeline.chain import chain_of
from rmlab.pipeline.node import Node
from rmlab.pipeline.plan import in_order
from rmlab.sets.gather import PolicySource
from rmlab.sets.write import OF_POLICY, Words
from rmlab.storage.files import read_plain_text
from rmlab.storage.set_record import CARD, LICENSE, EmbeddingSet, SetName, fits, open_set


def plan_release(overrides: Sequence[str], config_dir: Path | None = None) -> ReleasePlan:
    """Plans each policy with each embedder; command-line overrides replace those of both."""
    composer = Composer(overrides, config_dir)
    base = composer.settings([])
    how = base.release
    own_policy = "base" if base.sft.method == "none" else base.sft.method
    own_embedder = component_name(base.embedder, base.allow_modules, "embedder")
    policies: dict[str, dict[str, Node]] = {}
    for policy, changes in _parts("policies", how.policies or [f"{own_policy}:"]):
        roles = policies.setdefault(policy, {})
        for embedder, more in _parts("embedders", how.embedders or [f"{own_embedder}:"]):
            chain = chain_of(composer.settings_before([*changes, *more]))
            roles |= {role: n for role, n in chain.items() if role in OF_POLICY or ":" in role}
            roles[f"embed:{embedder}"] = chain["embed"]
    _check_distinct(policies)
    _check_names(policies)
    return ReleasePlan(base, policies)


@dataclass(frozen=True)
class ReleasePlan:
    """The nodes of each policy, by its name and their roles: prompts, sft, sample, annotate:X, embed:Y."""

    settings: Settings
    policies: Mapping[str, Mapping[str, Node]]

    @property
    def nodes(self) -> list[Node]:
        return in_order(*(node for roles in self.policies.values() for node in roles.values()))

    @property
    def lineage(self) -> dict[str, dict[str, str]]:
        """Fingerprints by policy and role, which are known before anything is run."""
        return {p: {role: node.fingerprint for role, node in n.items()} for p, n in self.policies.items()}

    def sources(self) -> list[PolicySource]:
        """The finished artifacts of each policy."""
        return [
            PolicySource(name, {role: node.open() for role, node in roles.items()})
            for name, roles in self.policies.items()
        ]

    def is_made(self, folder: Path, words: Words) -> bool:
        """True if the folder already holds the set of these artifacts and words, with all files."""
        try:
            opened = open_set(folder)
        except RmlabError:
            return False
        made = {policy.name: policy.lineage for policy in opened.record.policies}
        return made == self.lineage and are_whole(opened) and says(opened, words)


def _parts(kind: str, parts: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Splits each "NAME: overrides" into (name, overrides)."""
    split = [part.partition(":") for part in parts]
    names = [name for name, _, _ in split]
    if len({name.lower() for name in names}) < len(names):
        raise ConfigError(f"release.{kind} names {', '.join(names)}; give each its own name")
    return [(name, overrides.split()) for name, _, overrides in split]


def _check_distinct(policies: Mapping[str, Mapping[str, Node]]) -> None:
    """Raises a ConfigError if command-line overrides have made two policies or embedders equal."""
    _differ("policies", {name: roles["sample"] for name, roles in policies.items()})
    first = next(iter(policies.values()))
    embeds = {role.partition(":")[2]: node for role, node in first.items() if role.startswith("embed:")}
    _differ("embedders", embeds)


def _differ(kind: str, nodes: Mapping[str, Node]) -> None:
    seen: dict[str, str] = {}
    for name, node in nodes.items():
        other = seen.setdefault(node.fingerprint, name)
        if other != name:
            raise ConfigError(f"release.{kind}: {other} and {name} are the same; keep one of them")


def _check_names(policies: Mapping[str, Mapping[str, Node]]) -> None:
    """Raises a ConfigError, before anything is made, if set.json cannot hold a name."""
    roles = [role.partition(":")[::2] for role in next(iter(policies.values())) if ":" in role]
    kinds = {"annotate": "golden reward", "embed": "embedder"}
    names = [("policy", name) for name in policies] + [(kinds[stage], name) for stage, name in roles]
    for kind, name in names:
        if not fits(SetName, name):
            raise ConfigError(
                f"the {kind} {name} needs another name in a set: letters, digits, _ and ., at most 60, "
                "and not _ or . first"
            )
    rewards = [name for kind, name in names if kind == "golden reward"]
    if len({name.lower() for name in rewards}) < len(rewards):
        raise ConfigError(f"golden rewards {', '.join(rewards)}: two differ in capitals alone; rename one")


def words_of(settings: Settings, name: str) -> Words:
    how = settings.release
    if how.license is None:
        raise ConfigError("a set needs a licence: give its SPDX name, such as release.license=CC-BY-4.0")
    text = f"SPDX-License-Identifier: {how.license}\n"
    if how.license_file is not None:
        file = user_path(how.license_file)
        try:
            text = read_plain_text(file)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(
                f"release.license_file={how.license_file} cannot be read as text ({reason})"
            ) from None
    return Words(name, how.license, text, how.description or "")


def are_whole(opened: EmbeddingSet) -> bool:
    """True if every file is there and has the size that set.json records."""
    files = opened.record.files
    places = {name: opened.folder / name for name in opened.expected_files()}
    return all(
        name in files and place.is_file() and place.stat().st_size == files[name].bytes
        for name, place in places.items()
    )


def says(opened: EmbeddingSet, words: Words) -> bool:
    """True if the set has this licence and description; other parts of the card may be edited by hand."""
    try:
        card = read_plain_text(opened.folder / CARD)
        license_text = read_plain_text(opened.folder / LICENSE)
    except (OSError, ValueError):
        return False
    is_described = words.description.strip() in card
    return is_described and opened.record.license == words.license and license_text == words.license_text
