"""Several worker processes make the parts of one artifact: the same rows, and nobody left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_settings import SMALL

from rmlab.config.hydra import load_settings
from rmlab.errors import ConfigError, InputError, RmlabError, WorkerError
from rmlab.logs.carried_errors import error_from_json, error_to_json
from rmlab.logs.records import trace_of
from rmlab.pipeline import shards as places_module
from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.run import run_nodes
from rmlab.pipeline.shards import places

pytestmark = pytest.mark.alone

BEFORE = ("prompts", "sample")
OVERRIDES = (*SMALL, "sft=none", "golden=[length]", "prompts_per_shard=3", "arms=[]")
TROUBLE = '''
import os, signal, time
from dataclasses import dataclass
from pathlib import Path

from rmlab.errors import InputError
from rmlab.goldens.form import Length


@dataclass(frozen=True)
class Golden(Length):
    """Tells who it is; once, one of the processes does what the file `do` says."""
    place: str = "."

    def open(self, compute):
        score, place = super().open(compute), Path(self.place)
        (place / "pids").mkdir(exist_ok=True)
        (place / "pids" / str(os.getpid())).touch()

        def troubled(exchanges):
            try:
                (place / "do").rename(place / f"done-{os.getpid()}")
            except FileNotFoundError:
                return score(exchanges)
            match (place / f"done-{os.getpid()}").read_text():
                case "die":
                    time.sleep(0.3)  # the other has begun
                    os.kill(os.getpid(), signal.SIGKILL)
                case "refuse":
                    raise InputError("the golden reward does not like this; give it another")
                case "hang":
                    (place / "hangs").touch()
                    time.sleep(600)

        return troubled
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "troubled.py").write_text(TROUBLE)
    folder = tmp_path / "conf" / "golden"
    folder.mkdir(parents=True)
    golden = {"_target_": "troubled.Golden", "place": str(tmp_path)}
    lines = ["# @package golden.troubled", *(f"{k}: {v}" for k, v in golden.items())]
    (folder / "troubled.yaml").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "troubled", raising=False)
    return tmp_path


TROUBLED = (*OVERRIDES, "golden=[troubled]", "allow_modules=[troubled]")


def made(stages, overrides, config_dir=None):
    """Runs stages; stage -> (manifest, tables' digests)"""
    nodes = [n for n in plan(load_arms(overrides, config_dir)) if n.stage in stages]
    found = {}
    for outcome in run_nodes(nodes, "test", quiet=True):
        manifest = outcome.artifact.manifest
        found[outcome.node.stage] = manifest, [(f.name, f.sha256, f.rows) for f in manifest.files]
    return found


def same(a, b):
    assert a.keys() == b.keys()
    for stage in a:
        (one, files), (two, others) = a[stage], b[stage]
        assert files == others and len(files) == (1 if stage == "prompts" else 6)
        assert (one.counts, one.metrics, one.warnings) == (two.counts, two.metrics, two.warnings)


@pytest.fixture
def one_thread(monkeypatch):
    """As many for one process as for each of several: the last bits of a sum depend on how it is shared."""
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_two_workers_make_what_one_makes(tmp_path):
    stages = (*BEFORE, "embed")  # of annotate another test tells
    models = ("sampler=transformers", "embedder=transformers", "sampling.max_new_tokens=6")
    one, two = (
        made(stages, [*OVERRIDES, *models, f"workers={n}", f"out={tmp_path / str(n)}"]) for n in (1, 2)
    )
    same(one, two)
    assert one["embed"][0].metrics["dimension"] > 0


def test_a_killed_worker_is_one_line_and_the_same_command_goes_on(own):
    common = [*TROUBLED, f"out={own / 'o'}"]
    made(BEFORE, common, own / "conf")
    (own / "do").write_text("die")
    with pytest.raises(RmlabError, match=r"worker process \d+ was killed \(signal 9\).*same command"):
        made(["annotate"], [*common, "workers=2"], own / "conf")
    assert not list(own.glob("o/annotate/*/manifest.json")) and not list(own.rglob("*.tmp"))
    kept = {p: p.stat().st_mtime_ns for p in own.glob("o/annotate/*/part-*")}
    assert len(kept) < 6
    resumed = made(["annotate"], [*common, "workers=2"], own / "conf")
    assert all(p.stat().st_mtime_ns == at for p, at in kept.items())
    whole = made([*BEFORE, "annotate"], [*TROUBLED, f"out={own / 'whole'}"], own / "conf")
    same(resumed, {"annotate": whole["annotate"]})
    assert len(list((own / "pids").iterdir())) >= 4 and not any(map(lives, pids(own) - {os.getpid()}))


def test_an_error_of_a_worker_is_raised_as_itself_and_ends_the_others(own):
    common = [*TROUBLED, f"out={own / 'o'}", "workers=2"]
    made(BEFORE, common, own / "conf")
    (own / "do").write_text("refuse")
    with pytest.raises(InputError, match="^the golden reward does not like this; give it another$"):
        made(["annotate"], common, own / "conf")
    assert pids(own) and os.getpid() not in pids(own) and not any(map(lives, pids(own)))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_command(own, how):
    common = [*TROUBLED, f"out={own / 'o'}", "workers=2"]
    made(BEFORE, common, own / "conf")
    (own / "do").write_text("hang")
    command = [sys.executable, "-m", "rmlab", "annotate", *common, "--config-dir", str(own / "conf")]
    process = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(own), str(Path.cwd())])},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while process.poll() is None and not (own / "hangs").exists():
        time.sleep(0.01)
    process.send_signal(how)
    _, err = process.communicate(timeout=30)
    assert process.returncode == (130 if how == signal.SIGINT else -9), err
    assert how == signal.SIGKILL or err.splitlines()[-1].startswith("rmlab: interrupted"), err
    assert pids(own) and process.pid not in pids(own)
    for _ in range(1000):  # they notice by themselves
        if not any(map(lives, pids(own))):
            break
        time.sleep(0.01)
    assert not any(map(lives, pids(own)))
    assert how == signal.SIGKILL or not list(own.rglob("*.tmp"))


def pids(own):
    return {int(p.name) for p in (own / "pids").iterdir()}


def lives(process):
    """A process that ended but was not waited for is dead."""
    stat = Path(f"/proc/{process}/stat")
    if not Path("/proc/self").exists():
        pytest.skip("needs /proc")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def visible(names):
    return [place.get(places_module.VISIBLE) for place in names]


def test_each_worker_has_a_gpu_and_its_share_of_the_cores(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(places_module, "available_cores", lambda: 8)
    monkeypatch.delenv(places_module.VISIBLE, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert visible(places("auto", "auto", 10)) == ["0", "1"]
    assert [p["OMP_NUM_THREADS"] for p in places("auto", "cuda", 10)] == ["4", "4"]
    assert visible(places(3, "auto", 10)) == ["0", "1", "0"]
    assert visible(places("auto", "auto", 1)) == [None]
    assert visible(places("auto", "auto", 10, gpus=2)) == [None]
    assert len(places(4, "auto", 3)) == 3
    assert visible(places("auto", "cpu", 10)) == visible(places("auto", "cuda:1", 10)) == [None]
    assert visible(places(2, "cpu", 10)) == [None, None]
    monkeypatch.setenv(places_module.VISIBLE, "GPU-a, 5")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert visible(places("auto", "auto", 10)) == ["GPU-a", "5"]
    assert [p["OMP_NUM_THREADS"] for p in places(2, "auto", 10)] == ["1", "1"]
    monkeypatch.delenv(places_module.VISIBLE)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 5)
    assert visible(places("auto", "auto", 10, gpus=2)) == ["0,1", "2,3"]
    assert visible(places("auto", "auto", 10, gpus=8)) == [None]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert places("auto", "auto", 10) == places("auto", "cpu", 10)


def test_workers_are_a_number_or_auto():
    assert load_settings(["workers=3"]).workers == 3
    assert load_settings([]).workers == "auto"
    for wrong in ("0", "-1", "many", "true", "1.5", "null"):
        with pytest.raises(
            ConfigError, match="^workers: give a number of worker processes, 1 or more, or auto"
        ):
            load_settings([f"workers={wrong}"])
    prints = [[n.fingerprint for n in plan(load_arms([*SMALL, f"workers={n}"]))] for n in (1, 4)]
    assert prints[0] == prints[1]


class OwnError(InputError):
    """A kind that the parent does not know by name."""


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (ConfigError("a=b is wrong"), ConfigError, "a=b is wrong"),
        (OwnError("no such file"), InputError, "no such file"),
        (OSError(28, "No space left on device", "x"), OSError, "[Errno 28] No space left on device: 'x'"),
        (MemoryError(), MemoryError, ""),
        (
            ZeroDivisionError("oh\nno"),
            WorkerError,
            "ZeroDivisionError in a worker process: oh\nno",
        ),
    ],
)
def test_errors_keep_their_kind_on_the_way(error, kind, text):
    again = error_from_json(json.loads(json.dumps(error_to_json(error))))
    assert type(again) is kind and str(again) == text


def test_the_place_of_an_error_comes_along_as_its_cause():
    try:
        (1).nothing  # noqa: B018
    except AttributeError as error:
        again = error_from_json(json.loads(json.dumps(error_to_json(error))))
    assert "(1).nothing" in str(again.__cause__) and "test_shard_workers.py" in trace_of(again)
