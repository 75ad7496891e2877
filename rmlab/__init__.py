"""rmlab: reward-model research over cached embeddings. The names here are its Python interface.

Nothing is imported here: `python -m rmlab` would take it from the current folder, and a program that imports
rmlab waits for nothing.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rmlab.reward.model import RewardModel as RewardModel

__version__ = "0.1.0"
__all__ = ["RewardModel", "__version__"]
_WHERE = {"RewardModel": "rmlab.reward.model"}


def __getattr__(name: str) -> object:
    """Imports a name when it is first asked for."""
    from importlib import import_module

    if name not in _WHERE:
        raise AttributeError(f"module 'rmlab' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
