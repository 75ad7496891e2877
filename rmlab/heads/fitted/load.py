"""Loads a saved head of any kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmlab.heads.base import RewardHead
from rmlab.heads.fitted.base import NormalisedHead
from rmlab.heads.fitted.centred import MEMBER, CentredHead
from rmlab.heads.fitted.linear import LaplaceHead, LinearHead
from rmlab.heads.fitted.mlp import MlpHead
from rmlab.heads.fitted.several import EnsembleHead, WeightedHead
from rmlab.heads.fitted.storage import broken, read_description
from rmlab.heads.fitted.trees import TreesHead

Single = type[LinearHead] | type[MlpHead] | type[TreesHead] | type[LaplaceHead]
Several = type[EnsembleHead] | type[WeightedHead]
SINGLE: dict[str, Single] = {head.kind: head for head in (LinearHead, MlpHead, TreesHead, LaplaceHead)}
KINDS = (*SINGLE, EnsembleHead.kind, WeightedHead.kind, CentredHead.kind)
_MEMBER = re.compile(r"[A-Za-z0-9_-]{1,80}")


def load_head(folder: Path) -> RewardHead:
    """Returns the head that `save(folder)` wrote; its scores are the same to the bit."""
    folder = Path(folder)
    description = read_description(folder)
    kind = str(description.get("kind"))
    if kind not in KINDS:
        raise broken(folder, f"unknown kind {description.get('kind')!r} (known: {', '.join(KINDS)})")
    return _centred(folder, description) if kind == CentredHead.kind else _uncentred(folder, description)


def _centred(folder: Path, description: Mapping[str, Any]) -> CentredHead:
    """Loads a centred head, which may hold any other kind of head."""
    try:
        return CentredHead.load(
            folder, description, _uncentred(folder / MEMBER, read_description(folder / MEMBER))
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _incomplete(folder, error) from None


def _uncentred(folder: Path, description: Mapping[str, Any]) -> NormalisedHead:
    """Loads a head of any kind but a centred one."""
    if description.get("kind") == EnsembleHead.kind:
        return _of_members(EnsembleHead, folder, description)
    if description.get("kind") == WeightedHead.kind:
        return _of_members(WeightedHead, folder, description)
    return _single(folder, description)


def _single(folder: Path, description: Mapping[str, Any]) -> NormalisedHead:
    """Loads a head without members."""
    head = SINGLE.get(str(description.get("kind")))
    if head is None:
        raise broken(folder, f"a member of kind {description.get('kind')!r} (known: {', '.join(SINGLE)})")
    try:
        return head.load(folder, description)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise _incomplete(folder, error) from None


def _of_members(kind: Several, folder: Path, description: Mapping[str, Any]) -> NormalisedHead:
    """Loads a head with members."""
    try:
        folders = [_member(folder, name) for name in description["members"]]
        load = _single if kind is EnsembleHead else _uncentred  # the head of an objective may be an ensemble
        members = [load(member, read_description(member)) for member in folders]
        return kind.load(folder, description, members)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise _incomplete(folder, error) from None


def _member(folder: Path, name: Any) -> Path:
    """Returns the folder of a member, which is always within that of the head."""
    if not isinstance(name, str) or not _MEMBER.fullmatch(name):
        raise broken(folder, f"{name!r} is no name of a member")
    return folder / name


def _incomplete(folder: Path, error: Exception) -> Exception:
    return broken(folder, f"head.json is incomplete ({type(error).__name__}: {error})")
