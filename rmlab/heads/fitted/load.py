"""Loads a saved head of any kind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmlab.heads.base import RewardHead
from rmlab.heads.fitted.centred import MEMBER, CentredHead
from rmlab.heads.fitted.linear import LaplaceHead, LinearHead
from rmlab.heads.fitted.mlp import MlpHead
from rmlab.heads.fitted.several import EnsembleHead, WeightedHead
from rmlab.heads.fitted.storage import HEAD, broken, read_description
from rmlab.heads.fitted.trees import TreesHead
from rmlab.storage.manifest import MANIFEST

SINGLE = {head.kind: head for head in (LinearHead, MlpHead, TreesHead, LaplaceHead)}
SEVERAL = {head.kind: head for head in (EnsembleHead, WeightedHead, CentredHead)}
KINDS = (*SINGLE, *SEVERAL)
# The kinds that the members of a head can be: the head of an objective can be an ensemble. None holds its own
# kind, so that no folder leads into itself for ever.
MEMBERS = {
    EnsembleHead.kind: (*SINGLE,),
    WeightedHead.kind: (*SINGLE, EnsembleHead.kind),
    CentredHead.kind: (*SINGLE, EnsembleHead.kind, WeightedHead.kind),
}
_FOLDER = re.compile(r"[A-Za-z0-9_-]{1,80}")


def load_head(folder: Path) -> RewardHead:
    """Returns the head that `save(folder)` wrote; its scores are the same to the bit.

    folder: the head's own, or the artifact of a fit, which holds it as head/.
    """
    folder = Path(folder)
    return _load(folder / HEAD if (folder / MANIFEST).is_file() else folder, KINDS, "unknown kind")


def _load(folder: Path, allowed: Sequence[str], what: str) -> Any:
    """Loads a head of one of the allowed kinds. what: begins the message for a head of another kind."""
    description = read_description(folder)
    kind = str(description.get("kind"))
    if kind not in allowed:
        raise broken(folder, f"{what} {kind!r} (known: {', '.join(allowed)})")
    try:
        if kind in SINGLE:
            return SINGLE[kind].load(folder, description)
        names = [MEMBER] if kind == CentredHead.kind else description["members"]
        members = [_load(_member(folder, name), MEMBERS[kind], "a member of kind") for name in names]
        return SEVERAL[kind].load(folder, description, members)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise broken(folder, f"head.json is incomplete ({type(error).__name__}: {error})") from None


def _member(folder: Path, name: Any) -> Path:
    """Returns the folder of a member, which is always within that of the head."""
    if not isinstance(name, str) or not _FOLDER.fullmatch(name):
        raise broken(folder, f"{name!r} is no name of a member")
    return folder / name
