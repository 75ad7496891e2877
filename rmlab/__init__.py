"""rmlab: reward-model research over cached embeddings. The names here are its Python interface."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rmlab.reward.model import RewardModel as RewardModel

__version__ = "0.1.0"
__all__ = ["RewardModel", "__version__"]
_WHERE = {"RewardModel": "rmlab.reward.model"}


def __getattr__(name: str) -> Any:
    """Imports a name when it is first asked for, so that importing rmlab takes no time."""
    if name not in _WHERE:
        raise AttributeError(f"module 'rmlab' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
