"""rmlab: reward-model research over cached embeddings. The names here are its Python interface.

Nothing is imported here: `python -m rmlab` would take it from the current folder, and a program that imports
rmlab waits for nothing.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rmlab.api.benching import BenchResult as BenchResult
    from rmlab.api.benching import bench as bench
    from rmlab.api.experiments import RunResult as RunResult
    from rmlab.api.experiments import run as run
    from rmlab.api.experiments import settings as settings
    from rmlab.api.sweeping import SweepResult as SweepResult
    from rmlab.api.sweeping import sweep as sweep
    from rmlab.api.tables import read as read
    from rmlab.comparisons import Comparisons as Comparisons
    from rmlab.comparisons import Pool as Pool
    from rmlab.errors import ConfigError as ConfigError
    from rmlab.errors import InputError as InputError
    from rmlab.errors import RmlabError as RmlabError
    from rmlab.reward.model import RewardModel as RewardModel
    from rmlab.storage.artifact import open_artifact as open_artifact

__version__ = "0.1.0"
_WHERE = {
    "BenchResult": "api.benching",
    "Comparisons": "comparisons",
    "ConfigError": "errors",
    "InputError": "errors",
    "Pool": "comparisons",
    "RewardModel": "reward.model",
    "RmlabError": "errors",
    "RunResult": "api.experiments",
    "SweepResult": "api.sweeping",
    "bench": "api.benching",
    "open_artifact": "storage.artifact",
    "read": "api.tables",
    "run": "api.experiments",
    "settings": "api.experiments",
    "sweep": "api.sweeping",
}
_PACKAGES = ("heads", "losses", "metrics", "noise", "pairing", "selection")
__all__ = [
    "BenchResult",
    "Comparisons",
    "ConfigError",
    "InputError",
    "Pool",
    "RewardModel",
    "RmlabError",
    "RunResult",
    "SweepResult",
    "__version__",
    "bench",
    "heads",
    "losses",
    "metrics",
    "noise",
    "open_artifact",
    "pairing",
    "read",
    "run",
    "selection",
    "settings",
    "sweep",
]


def __getattr__(name: str) -> object:
    """Imports a name when it is first asked for."""
    from importlib import import_module

    if name in _PACKAGES:
        return import_module(f"rmlab.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module 'rmlab' has no attribute {name!r}")
    return getattr(import_module(f"rmlab.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
