"""The figures of the report, one kind a file; each function returns inline SVG.

When matplotlib is imported, it reads a file `matplotlibrc` of the current folder, whoever has put it there.
It is imported here, before any module of this package, so that it finds none.
"""

import os
from contextlib import chdir, nullcontext
from pathlib import Path

with chdir(Path(__file__).parent) if os.path.lexists("matplotlibrc") else nullcontext():
    import matplotlib  # noqa: F401
