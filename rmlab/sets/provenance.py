"""How the parts of a set were made, as set.json tells it: from the manifests of the artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmlab.artifacts.artifact import Artifact
from rmlab.errors import InputError
from rmlab.home import home_path
from rmlab.sets.gather import PolicySource

_OF_POLICY = ("prompts", "sft", "sample")


def policy_made_by(source: PolicySource) -> dict[str, Any]:
    found = {stage: made_by(source.artifacts[stage]) for stage in _OF_POLICY if stage in source.artifacts}
    return {**found, "versions": source.artifacts["sample"].manifest.versions}


def lineage(source: PolicySource) -> dict[str, str]:
    return {role: artifact.manifest.fingerprint for role, artifact in source.artifacts.items()}


def made_by(artifact: Artifact) -> dict[str, Any]:
    """The settings of a stage, and the files and models that it read: by name, without their folder."""
    outside = [i for i in artifact.manifest.inputs if i.kind != "artifact"]
    sources = {i.role: {"name": _name(i.name), "identity": i.fingerprint} for i in outside}
    return {"config": artifact.manifest.config, "sources": sources}


def _name(name: str) -> str:
    return Path(name).name if home_path(name).is_absolute() else name


def shared(sources: Sequence[PolicySource], stage: str) -> dict[str, dict[str, Any]]:
    """made_by of each golden reward or embedder, which must be the same for all policies."""
    first, *others = sources
    found = {name: made_by(artifact) for name, artifact in first.several(stage).items()}
    for other in others:
        theirs = {name: made_by(artifact) for name, artifact in other.several(stage).items()}
        for name in {**found, **theirs}:
            if found.get(name) != theirs.get(name):
                raise InputError(
                    f"{stage} {name} is not the same for policies {first.name} and {other.name}; "
                    "all policies of a set share their rewards and embedders"
                )
    return found
