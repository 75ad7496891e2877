"""A saved head from its folder, whatever its kind."""

from __future__ import annotations

from pathlib import Path

from rmlab.heads.base import LinearHead, MlpHead, RewardHead, TreesHead, broken, read_description

KINDS: dict[str, type[LinearHead] | type[MlpHead] | type[TreesHead]] = {
    head.kind: head for head in (LinearHead, MlpHead, TreesHead)
}


def load_head(folder: Path) -> RewardHead:
    """The head that `save(folder)` wrote; it scores to the same bits."""
    folder = Path(folder)
    description = read_description(folder)
    head = KINDS.get(str(description.get("kind")))
    if head is None:
        raise broken(folder, f"unknown kind {description.get('kind')!r} (known: {', '.join(KINDS)})")
    try:
        return head.load(folder, description)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise broken(folder, f"head.json is incomplete ({type(error).__name__}: {error})") from None
