"""Out of memory: fewer rows at once, the same step, and on from the last checkpoint."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaModel

from rmlab.errors import RmlabError
from rmlab.models.oom_retry import is_out_of_memory
from rmlab.sft.train import _next_smaller, train

CPU_WORDS = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
)


def weights(task):
    return AutoModelForCausalLM.from_pretrained(task.trained).state_dict()


@pytest.fixture
def small_memory(monkeypatch):
    """A model that takes a number of rows at a time; `limit` may change while it trains."""

    def put(limit: int, error: Exception, after: int = 0) -> list[int]:
        seen: list[int] = []
        original = LlamaModel.forward

        def forward(self, input_ids=None, **rest):
            seen.append(len(input_ids))
            if len(seen) > after and len(input_ids) > limit:
                raise error
            return original(self, input_ids=input_ids, **rest)

        monkeypatch.setattr(LlamaModel, "forward", forward)
        monkeypatch.setattr("rmlab.models.compute.try_model", lambda model: None)  # not a step of training
        return seen

    return put


@pytest.mark.slow
@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(CPU_WORDS)])
def test_the_batch_halves_until_it_fits_and_the_result_is_the_same(task, quiet, small_memory, error):
    whole = task("whole", method="full", batch_size=8)
    log, warnings = train(whole, quiet)
    assert warnings == []
    seen = small_memory(2, error)
    made = task("halved", method="full", batch_size=8)
    halved, warnings = train(made, quiet)
    assert [w.split("; ")[1] for w in warnings] == [
        "went on from the last checkpoint with 4, the gradients of 2 added up: the same 8 a step",
        "went on from the last checkpoint with 2, the gradients of 4 added up: the same 8 a step",
    ]
    assert [row["loss"] for row in halved] == pytest.approx([row["loss"] for row in log], abs=1e-4)
    assert max(seen[2:]) == 2
    for name, value in weights(made).items():
        assert torch.allclose(value, weights(whole)[name], atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_it_goes_on_from_the_last_checkpoint(task, quiet, small_memory, method):
    """Out of memory in the sixth step, checkpoints every second: four steps are not trained again."""
    whole = task("whole", method=method, n=32, held=0, epochs=1, checkpoint_steps=2)
    log, _ = train(whole, quiet)
    seen = small_memory(2, torch.OutOfMemoryError("CUDA out of memory"), after=5)
    later, warnings = train(task("late", method=method, n=32, held=0, epochs=1, checkpoint_steps=2), quiet)
    assert len(warnings) == 1
    assert seen == [4] * 6 + [2] * 8
    assert [row["loss"] for row in later] == pytest.approx([row["loss"] for row in log], abs=1e-4)


def test_one_row_that_does_not_fit_is_one_line(task, quiet, small_memory):
    small_memory(0, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(RmlabError, match=r"one demonstration at a time .*; lower sft.max_tokens") as raised:
        train(task(held=0), quiet)
    assert "\n" not in str(raised.value)


def test_other_errors_are_not_taken_for_it(task, quiet, small_memory):
    small_memory(0, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(task(held=0), quiet)
    assert not is_out_of_memory(ValueError("out of memory"))


def test_the_next_smaller_batch_divides_the_step():
    assert [_next_smaller(n) for n in (8, 6, 9, 7, 2, 1)] == [4, 3, 3, 1, 1, None]
