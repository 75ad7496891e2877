"""`python -m rmlab` is the command rmlab."""

import os
import sys


def _leave_current_folder() -> None:
    """Imports no more from the current folder, which `-m` has put first.

    It imports nothing itself: Python has the two modules that it uses from its start.
    """
    try:
        here = os.getcwd()  # noqa: PTH109
    except FileNotFoundError:  # it was removed, and so Python has not put it there
        return
    if sys.path[0] == here and not sys.flags.safe_path:
        del sys.path[0]


if __name__ == "__main__":
    _leave_current_folder()

    from rmlab.cli import main

    main()
