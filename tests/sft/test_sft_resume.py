"""Interrupted trainings: killed without warning, or with a checkpoint that is not whole."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rmlab.logs.progress import Progress
from rmlab.sft.checkpoints import last_whole_checkpoint
from rmlab.sft.train import train
from rmlab.storage.integrity import FOLDER_SEAL

pytestmark = pytest.mark.alone

SCRIPT = """
import sys, time
from pathlib import Path
from rmlab.sft.attempt import attempt
from rmlab.sft.task import SftTask
from transformers import Trainer
step = Trainer.training_step
def slow(*rest, **more):
    time.sleep(0.1)  # so that the signal comes in the middle
    return step(*rest, **more)
Trainer.training_step = slow
attempt(SftTask.read(Path(sys.argv[1])), 4, lambda *_: None)
"""
KNOBS = {"checkpoint_steps": 2, "dropout": 0.2, "epochs": 3, "n": 20}


def weights(task) -> dict[str, torch.Tensor]:
    (file,) = task.trained.glob("*.safetensors")
    return load_file(file)


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_killed_training_goes_on_to_the_same_weights_and_log(task, quiet, method):
    whole, killed = (task(name, method=method, **KNOBS) for name in ("whole", "killed"))
    log, _ = train(whole, quiet)
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(killed.write())])
    while not (killed.work / "checkpoint-4" / FOLDER_SEAL).is_file() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not killed.trained.exists()
    kept = last_whole_checkpoint(killed.work)
    assert kept is not None and int(kept.name.rpartition("-")[2]) < 15
    assert train(killed, quiet)[0] == log
    assert same(weights(killed), weights(whole))


@pytest.fixture(scope="module")
def trained(lasting_task) -> Path:
    """The working folder of a training that ended, with its last two checkpoints."""
    task = lasting_task(**KNOBS)
    train(task, Progress("sft", quiet=True))
    assert sorted(p.name for p in task.work.glob("checkpoint-*")) == ["checkpoint-14", "checkpoint-15"]
    return task.work


def tear_weights(folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-40])


def tear_optimizer(folder: Path) -> None:
    (folder / "optimizer.pt").write_bytes((folder / "optimizer.pt").read_bytes()[:100])


def zero_weights(folder: Path) -> None:
    """The size is right, the header is not: what a machine that lost its power may leave."""
    (file,) = folder.glob("*.safetensors")
    file.write_bytes(bytes(file.stat().st_size))


def rot(name: str):
    """One bit, and the size is what it was."""

    def damage(folder: Path) -> None:
        (file,) = folder.glob(name)
        data = bytearray(file.read_bytes())
        data[-30] ^= 4
        file.write_bytes(bytes(data))

    return damage


def lose(name: str):
    return lambda folder: (folder / name).unlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        tear_weights,
        tear_optimizer,
        zero_weights,
        rot("*.safetensors"),
        rot("optimizer.pt"),
        rot("rng_state*.pth"),
        rot(FOLDER_SEAL),
        lose(FOLDER_SEAL),
        lose("scheduler.pt"),
        lose("trainer_state.json"),
    ],
)
def test_a_torn_checkpoint_is_left_for_the_one_before(trained, tmp_path, damage):
    work = Path(shutil.copytree(trained, tmp_path / "copy"))
    assert last_whole_checkpoint(work) == work / "checkpoint-15"
    damage(work / "checkpoint-15")
    assert last_whole_checkpoint(work) == work / "checkpoint-14"
    assert not (work / "checkpoint-15").exists()


@pytest.mark.slow
def test_from_the_checkpoint_before_it_goes_on_to_the_same_weights_and_log(task, quiet):
    whole = task(**KNOBS)
    log, _ = train(whole, quiet)
    expected = weights(whole)
    shutil.rmtree(whole.trained)
    tear_weights(whole.work / "checkpoint-15")
    assert train(whole, quiet)[0] == log
    assert same(weights(whole), expected)


@pytest.mark.slow
def test_without_a_whole_checkpoint_it_starts_again(task, quiet):
    made = task(**KNOBS)
    log, _ = train(made, quiet)
    for folder in made.work.glob("checkpoint-*"):
        tear_weights(folder)
    assert last_whole_checkpoint(made.work) is None
    assert train(made, quiet)[0] == log
