"""A training in miniature: a random model of two layers, demonstrations of a few bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rmlab.config.fitting import Sft
from rmlab.logs.progress import Progress
from rmlab.sft.task import Rows, SftTask

IGNORED = -100
BASE = {
    "method": "lora", "rank": 4, "alpha": 8, "dropout": 0.0, "learning_rate": 1e-2, "epochs": 2,
    "batch_size": 4, "accumulate": 1, "max_tokens": 64, "precision": "auto", "output": "merged",
    "eval_fraction": 0.1, "eval_steps": None, "checkpoint_steps": 50, "devices": 1,
}  # fmt: skip


def sft(**changes: object) -> Sft:
    return Sft(**{**BASE, **changes})


def demo_rows(n: int, tokenizer, first: int = 0) -> Rows:
    """Prompts and completions of different lengths, each ended by the end token."""
    rows = []
    for i in range(first, first + n):
        prompt = tokenizer(f"ask {i}" + "?" * (i % 3), add_special_tokens=False)["input_ids"]
        answer = tokenizer(f"say {i * 7}" + "!" * (i % 5), add_special_tokens=False)["input_ids"]
        completion = [*answer, tokenizer.eos_token_id]
        rows.append({"input_ids": prompt + completion, "labels": [IGNORED] * len(prompt) + completion})
    return rows


@pytest.fixture(scope="session")
def tokenizer():
    from rmlab.models.bundled.random_tiny import byte_tokenizer

    return byte_tokenizer()


@pytest.fixture
def task(tmp_path: Path, tiny_model: Path, tokenizer) -> Callable[..., SftTask]:
    return tasks_in(tmp_path, tiny_model, tokenizer)


@pytest.fixture(scope="module")
def lasting_task(tmp_path_factory, tiny_model: Path, tokenizer) -> Callable[..., SftTask]:
    """Makes tasks whose folders all tests of a file share."""
    return tasks_in(tmp_path_factory.mktemp("lasting"), tiny_model, tokenizer)


def tasks_in(folder: Path, tiny_model: Path, tokenizer) -> Callable[..., SftTask]:
    def make(name: str = "work", n: int = 10, held: int = 3, **changes: object) -> SftTask:
        work = folder / name
        work.mkdir(exist_ok=True)
        made = SftTask(tiny_model, work, sft(**changes), 0, "float32", "float32", "cpu")
        made.write_rows(demo_rows(n, tokenizer), demo_rows(held, tokenizer, first=n))
        return made

    return make


@pytest.fixture
def quiet() -> Progress:
    return Progress("sft", quiet=True)
