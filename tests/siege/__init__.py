"""Attacks on rmlab: what a hostile file, folder, machine or neighbour does, and what must then be true.

    make siege                      # all of them
    make siege SIEGE=--quick        # fewer, for every change
    PYTHONPATH=tests .venv/bin/python -m siege --only links,doors --case "swapped"

A group is a module of this package that declares cases. A case is one attack:

    from siege.base import Ground, SMOKE, case

    @case("a link in place of an artifact is refused")            # quick=False: only in a whole run
    def _(ground: Ground) -> None:
        ground.smoke()                                            # a finished run, copied into ground.folder
        ...
        ended = ground.rmlab("sample", *SMOKE)                    # the command as it is installed
        ended.refused(3, "is a link")                             # its exit code, one line, these words
        assert kept.exists(), "the other folder was emptied"

What a case finds wrong it says with `assert condition, "what is wrong"` (any other exception counts as
not survived too), and what cannot be tried on this machine with `raise Cannot("why")`. Cases run side by
side in threads of one process: they never change its current folder or environment. Whatever process a
case has started and left alive is ended, and is a fault. See `siege.base` and `siege.command` for the
helpers, `siege.disks` for small disks.
"""
