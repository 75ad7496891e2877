"""Names of a package that are imported from its modules when they are first asked for.

So `rmlab.losses.BradleyTerry` works after `import rmlab` alone, which loads nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module


def lazily(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Returns the `__getattr__` and the `__dir__` of a package.

    modules: the module of the package that each name is defined in. No name may be that of a module.
    """

    def of_module(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return of_module, lambda: sorted(modules)
