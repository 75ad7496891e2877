"""The folder of the policy to sample from."""

from __future__ import annotations

import json
from pathlib import Path

from rmlab.adapter import BASE_RECORD, base_folder, is_adapter
from rmlab.artifacts.artifact import Artifact
from rmlab.errors import InputError
from rmlab.models import Model, find_model
from rmlab.stages.base import Job


def policy_folder(job: Job) -> Path:
    """What SFT made, where there was SFT, else the model of the experiment."""
    if "sft" in job.inputs:
        return _trained(job.inputs["sft"])
    s = job.settings
    return find_model(s.model, s.revision, s.trust_remote_code).folder()


def _trained(sft: Artifact) -> Path:
    folder = sft.path / "model"
    if is_adapter(folder):
        _check_base(folder)
    return folder


def _check_base(folder: Path) -> None:
    """An adapter says nothing without the base that it was trained on."""
    record = json.loads((folder / BASE_RECORD).read_text(encoding="utf-8"))
    base = Model(record["name"], record["identity"])
    if not base.identity.startswith("folder:"):
        base.folder()  # checks it
        return
    place = base_folder(folder)
    if find_model(str(place)).identity != base.identity:
        raise InputError(
            f"{place} is not as it was when {folder.parent.name} was trained on it; put it back, "
            "or train again: `rmlab sft`"
        )
