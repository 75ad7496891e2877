"""Faults that a run must survive: kills, signals, full and closed disks, two at once, a clock that jumps.

    make faults                     # all of them
    make faults FAULTS=--quick      # fewer, for every change

Every fault strikes the ordinary command line in a process of its own. Then the same command is run again
until it ends, and what it has made must be what a run without faults makes.
"""
