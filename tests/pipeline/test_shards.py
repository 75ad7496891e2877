"""The parts of a stage: made while the next is read and the last written, within a bound on memory."""

import gc
import json
import threading
import tracemalloc
import weakref

import pyarrow as pa
import pytest
from small_settings import SMALL

from rmlab.config.hydra import load_settings
from rmlab.logs.progress import Progress
from rmlab.pipeline.job import Job, Made, Shards
from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.run import run_nodes
from rmlab.pipeline.shards import map_shards, pipelined
from rmlab.pipeline.stages import STAGES as TABLE
from rmlab.storage.digest import read_sealed
from rmlab.storage.writer import writing

SOON = 20.0  # seconds after which a thread that should have come is given up
N = 5


def test_the_next_is_read_and_the_last_is_written_while_one_is_computed():
    read, written = [threading.Event() for _ in range(N)], [threading.Event() for _ in range(N)]
    computing = [threading.Event() for _ in range(N)]
    done = []

    def reads(k):
        read[k].set()
        return k

    def compute(k):
        computing[k].set()
        assert k + 1 == N or read[k + 1].wait(SOON)
        assert k == 0 or written[k - 1].wait(SOON)
        assert k + 2 >= N or not read[k + 2].is_set()  # one ahead, no more
        return -k

    def write(k, made):
        assert k + 1 == N or computing[k + 1].wait(SOON)
        done.append((k, made))
        written[k].set()

    pipelined(range(N), reads, compute, write)
    assert done == [(k, -k) for k in range(N)]


class Part:
    """Something large."""


def test_no_more_than_three_parts_are_held():
    alive, most = weakref.WeakSet(), []

    def read(k):
        part = Part()
        alive.add(part)
        return part

    def compute(part):
        most.append(len(alive))
        return part

    def write(k, part):
        most.append(len(alive))

    pipelined(range(20), read, compute, write)
    gc.collect()
    assert max(most) <= 3 and not alive


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OSError(28, "No space left"), ZeroDivisionError("oh")]
)
@pytest.mark.parametrize(("where", "computed", "wrote"), [("read", 2, 2), ("compute", 2, 2), ("write", 4, 2)])
def test_an_error_of_any_side_is_raised_as_itself_and_what_was_begun_ends(error, where, computed, wrote):
    seen = {"read": [], "compute": [], "write": []}

    def step(name):
        def call(k, *_):
            if (name, k) == (where, 2):
                raise error
            seen[name].append(k)
            return k

        return call

    with pytest.raises(type(error)) as caught:
        pipelined(range(10), step("read"), step("compute"), step("write"))
    assert caught.value is error
    assert seen["write"] == list(range(wrote))
    assert len(seen["compute"]) <= computed


def job(writer):
    return Job("x", "0" * 64, load_settings(["experiment=smoke"]), {}, {}, writer, Progress("x", quiet=True))


def made(rows, k):
    return Made(pa.table({"x": [k] * rows}), {"rows": rows}, {"last": k})


@pytest.mark.parametrize("broken", [None, 0, 3])
def test_a_resumed_run_reports_the_whole_with_the_metrics_of_each_part(tmp_path, broken):
    asked = []

    def make(jobs):
        def compute(k, wanted):
            asked.append(k)
            if k == broken:
                raise KeyboardInterrupt
            jobs[0].writer.metrics["opened"] = True
            return [made(k + 1, k)]

        return Shards([k + 1 for k in range(N)], lambda k: k, compute)

    with writing(tmp_path / "a") as writer:
        if broken is not None:
            with pytest.raises(KeyboardInterrupt):
                map_shards([job(writer)], make)
            kept, broken = broken, None
            assert [writer.has_part(k) for k in range(N)] == [k < kept for k in range(N)]
            asked.clear()
            again = writing(tmp_path / "a")
        else:
            kept, again = 0, None
    with again or writing(tmp_path / "a") as writer:
        one = job(writer)
        one.progress.start(15)
        map_shards([one], make)
        assert asked == list(range(kept, N))
        assert one.progress.resumed == sum(range(kept + 1))
        assert writer.counts == {"rows": 15} and writer.metrics == {"opened": True, "last": N - 1}
        beside = [read_sealed(writer.work / f"counts-{k:05d}.json") for k in range(N)]
        assert [b["metrics"]["last"] for b in beside] == list(range(N))
    assert not list(tmp_path.rglob("*.tmp"))


def test_of_several_artifacts_only_the_parts_that_are_missing_are_made(tmp_path):
    asked = []

    def make(jobs):
        def compute(k, wanted):
            asked.append((k, list(wanted)))
            return [made(1, 10 * job_number + k) for job_number in wanted]

        return Shards([1, 1, 1], lambda k: k, compute)

    with writing(tmp_path / "a") as a, writing(tmp_path / "b") as b:
        a.part(1, pa.table({"x": [1]}), {"rows": 1}, {"last": 1})
        b.part(0, pa.table({"x": [10]}), {"rows": 1}, {"last": 10})
        b.part(1, pa.table({"x": [11]}), {"rows": 1}, {"last": 11})
        map_shards([job(a), job(b)], make)
        assert asked == [(0, [0]), (2, [0, 1])]
        assert a.counts == b.counts == {"rows": 3}
        assert (a.metrics, b.metrics) == ({"last": 2}, {"last": 12})


STAGES = tuple(stage.name for stage in TABLE if stage.over_shards)
EMBED = ("sft=none", "golden=length", "sampling.n_train=4", "sampling.n_test=4", "prompts_per_shard=32")


def peaks(tmp_path, prompts):
    """Stage -> the most bytes it held: Python's and numpy's, and those of Arrow."""
    file = tmp_path / f"{prompts}.jsonl"
    rows = ({"prompt": f"Say {i}", "split": "test" if i % 4 else "train"} for i in range(prompts))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sizes = [f"prompts.path={file}", "prompts.n_train=null", "prompts.n_test=null", f"out={tmp_path / 'o'}"]
    found, usual = {}, pa.default_memory_pool()
    for node in plan(load_arms([*SMALL, *EMBED, *sizes])):
        if node.stage not in STAGES:
            if node.stage == "prompts":
                run_nodes([node], "test", quiet=True)
            continue
        pool = pa.proxy_memory_pool(usual)
        pa.set_memory_pool(pool)
        tracemalloc.start()
        try:
            run_nodes([node], "test", quiet=True)
            found[node.stage] = tracemalloc.get_traced_memory()[1] + pool.max_memory()
        finally:
            tracemalloc.stop()
            pa.set_memory_pool(usual)
    return found


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows_but_by_the_table_of_prompts(tmp_path):
    peaks(tmp_path, 20)  # what is imported and cached once
    few, many = peaks(tmp_path, 320), peaks(tmp_path, 2560)
    table = (2560 - 320) * 150  # bytes: a prompt in Arrow, and once more while it is read
    assert set(few) == set(STAGES)
    for stage in STAGES:
        # half more: how many of the three parts in flight are held at once is chance
        assert many[stage] < few[stage] * 1.5 + table, (stage, few, many)
