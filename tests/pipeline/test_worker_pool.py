import itertools
import os
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest

from rmlab.errors import RmlabError
from rmlab.pipeline.workers import in_workers
from rmlab.stages.sweep import ONE_THREAD

pytestmark = pytest.mark.alone
AHEAD = 2


def about(tasks, tell):
    """In a worker: who it is, and how many threads it may use. A task of its own kind ends its process."""
    for task in tasks:
        tell(_about(task))


def forks_and_dies(tasks, tell):
    """In a worker, as a component may: its forks outlive it, one of them in a session of its own."""
    for task in tasks:
        for leave in (os.setsid, os.getpid):
            if (fork := os.fork()) == 0:
                leave()
                time.sleep(600)
            tell((task, fork))
        os.kill(os.getpid(), signal.SIGKILL)


def _about(task):
    import numpy as np
    import torch
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))
    if task == "die":
        time.sleep(1.0)  # so that what was asked before is done
        os.kill(os.getpid(), signal.SIGKILL)
    threads = {pool["num_threads"] for pool in threadpool_info()} | {torch.get_num_threads()}
    return task, os.getpid(), threads, signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_tasks_run_in_processes_of_one_thread_that_ctrl_c_does_not_reach_and_that_go_when_closed():
    before = signal.getsignal(signal.SIGINT)
    asked = itertools.count()
    with closing(in_workers(about, asked, [ONE_THREAD] * 2, "--workers", AHEAD)) as done:
        found = list(itertools.islice(done, 20))
        assert signal.getsignal(signal.SIGINT) == before
    assert next(asked) <= 20 + 2 * (AHEAD + 1)  # tasks are taken as they are needed
    assert len({f[0] for f in found}) == 20
    processes = {f[1] for f in found}
    assert 1 <= len(processes) <= 2 and os.getpid() not in processes
    assert all(threads == {1} and ignores for _, _, threads, ignores in found)
    assert not any(map(_lives, processes))


def test_a_killed_worker_is_one_line_and_what_was_done_before_is_not_lost():
    found, error = [], None
    try:
        with closing(in_workers(about, [1, 2, 3, "die", 4], [ONE_THREAD], "--workers")) as done:
            for row in done:
                found.append(row)
    except RmlabError as caught:
        error = str(caught)
    assert error is not None and "fewer --workers" in error and "\n" not in error
    assert sorted(f[0] for f in found) == [1, 2, 3]


def test_a_killed_worker_is_noticed_though_what_it_has_forked_lives_on():
    found = []
    with pytest.raises(RmlabError, match=r"was killed \(signal 9\)"):  # and not after ten minutes
        for row in in_workers(forks_and_dies, ["a"], [ONE_THREAD], "--workers"):
            found.append(row)
    (_, away), (_, near) = found
    os.kill(away, signal.SIGKILL)  # nobody can know of it
    until = time.monotonic() + 10
    while _lives(near) and time.monotonic() < until:
        time.sleep(0.01)
    assert not _lives(near)


def _lives(process: int) -> bool:
    """A process that ended but was not waited for is dead."""
    stat = Path(f"/proc/{process}/stat")
    if not stat.parent.parent.joinpath("self").exists():
        pytest.skip("needs /proc")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
