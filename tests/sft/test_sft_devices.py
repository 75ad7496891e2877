"""Two processes: the same step, divided."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import load_file

from rmlab.errors import RmlabError
from rmlab.sft import train as launch
from rmlab.sft.train import train

pytestmark = pytest.mark.alone


def weights(task):
    return load_file(task.trained / "adapter_model.safetensors")


@pytest.mark.slow
def test_two_processes_train_as_one(task, quiet):
    """13 rows in steps of 8: the last step of an epoch is not full, and still the same."""
    knobs = {"n": 13, "batch_size": 4, "accumulate": 2, "checkpoint_steps": 3}
    one, two = task("one", **knobs), task("two", devices=2, **knobs)
    log, _ = train(one, quiet)
    both, _ = train(two, quiet)
    assert [(row["step"], row["split"]) for row in both] == [(row["step"], row["split"]) for row in log]
    assert [row["loss"] for row in both] == pytest.approx([row["loss"] for row in log], abs=1e-4)
    for name, value in weights(one).items():
        assert torch.allclose(weights(two)[name], value, atol=2e-4), name
    assert (two.work / "checkpoint-3" / "rng_state_1.pth").is_file()


@pytest.mark.slow
def test_an_error_in_a_process_is_one_line_here(task, quiet):
    made = task("bad", devices=2, learning_rate=1e30, method="full")
    with pytest.raises(RmlabError, match="loss of sft is not finite at step") as raised:
        train(made, quiet)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_an_error_that_none_foresaw_says_where_to_look(task, quiet):
    made = task("bad", devices=2)
    made.work.joinpath("rows.parquet").write_bytes(b"nothing")
    with pytest.raises(
        RmlabError, match=r"training in 2 processes failed \(.*Error.*processes.log"
    ) as raised:
        train(made, quiet)
    assert "\n" not in str(raised.value)


def test_out_of_memory_in_a_process_is_told_apart(task):
    made = task()
    made.failure.write_text('{"kind": "MemoryError", "message": "CUDA out of memory", "trace": ""}')
    with pytest.raises(MemoryError, match="CUDA"):
        launch._raise(made, made.work / "processes.log")


def test_more_gpus_seen_than_asked_for_means_a_process_that_sees_fewer(task, monkeypatch):
    made = dataclasses.replace(task(), device="cuda")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert not launch.needs_own_processes(made)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert launch.needs_own_processes(made)
    assert launch._devices(made) == {"CUDA_VISIBLE_DEVICES": "0"}
    assert launch._devices(dataclasses.replace(made, device="cuda:2")) == {"CUDA_VISIBLE_DEVICES": "2"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,6,7")
    two = dataclasses.replace(made, how=made.how.model_copy(update={"devices": 2}))
    assert launch._devices(two) == {"CUDA_VISIBLE_DEVICES": "3,5"}
    many = dataclasses.replace(made, how=made.how.model_copy(update={"devices": 8}))
    with pytest.raises(RmlabError, match="sft.devices=8: this machine shows 4 GPUs"):
        launch._devices(many)
