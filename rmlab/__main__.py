"""The command rmlab, also as `python -m rmlab`."""

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


def main() -> None:
    """Runs the command line where rmlab can run, and says in one line where it cannot."""
    if sys.platform == "win32":  # before the import of modules that Windows does not have
        from rmlab.terminal import note

        note("rmlab does not run on Windows; run it in WSL, the Windows Subsystem for Linux")
        sys.exit(2)

    from rmlab.cli import main as command_line

    command_line()


if __name__ == "__main__":
    _leave_current_folder()
    main()
