"""The figures of the report, one kind a file; each function returns inline SVG.

When matplotlib is imported, it reads a file `matplotlibrc` of the current folder, whoever has put it there.
It is imported here, before any module of this package, so that it finds none. MPLBACKEND counts as it does in
matplotlib itself, but an unknown name there stops no report, since figures are drawn without a backend.
"""

import os
from contextlib import chdir, nullcontext, suppress
from pathlib import Path

_backend = os.environ.pop("MPLBACKEND", None)
with chdir(Path(__file__).parent) if os.path.lexists("matplotlibrc") else nullcontext():
    import matplotlib
if _backend is not None:
    os.environ["MPLBACKEND"] = _backend
    with suppress(ValueError):
        matplotlib.rcParams["backend"] = _backend
