"""The figures of the report, one kind a file; each function returns inline SVG.

When matplotlib is imported, it reads a file `matplotlibrc` of the current folder, whoever has put it there.
It is imported here, before any module of this package, so that it finds none. A backend that MPLBACKEND names
and matplotlib does not know is left out, as figures are drawn without any.
"""

import os
from contextlib import chdir, nullcontext
from pathlib import Path

with chdir(Path(__file__).parent) if os.path.lexists("matplotlibrc") else nullcontext():
    try:
        import matplotlib
    except ValueError:
        if os.environ.pop("MPLBACKEND", None) is None:
            raise
        import matplotlib  # noqa: F401
