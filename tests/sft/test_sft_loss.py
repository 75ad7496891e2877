"""What TRL computes on our rows, against cross-entropy by hand: completion tokens only, the end included."""

from __future__ import annotations

import json

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from rmlab.sft.attempt import attempt
from rmlab.sft.task import Rows, step_order
from rmlab.sft.train import train
from rmlab.sft.trainer import make_trainer

IGNORED = -100


def token_losses(model, rows: Rows) -> list[float]:
    """The loss of each learned token, each row by itself: no padding, no labels, no TRL."""
    found = []
    for row in rows:
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, :-1]
        each = cross_entropy(logits, ids[0, 1:], reduction="none")
        found += [float(each[i - 1]) for i, label in enumerate(row["labels"]) if label != IGNORED]
    return found


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def first(log: list[dict], split: str) -> float:
    return next(row["loss"] for row in log if row["split"] == split)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_first_losses_are_those_by_hand(task, quiet, tiny_model, method):
    made = task(method=method, epochs=1, batch_size=3)
    rows, held = made.read_rows()
    log, _ = train(made, quiet)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    step = [rows[i] for i in step_order(len(rows), 1, 3, 0)[0, 0]]
    assert first(log, "train") == pytest.approx(mean(token_losses(model, step)), abs=1e-5)
    assert first(log, "validation") == pytest.approx(mean(token_losses(model, held)), abs=1e-5)
    assert first(log, "train") != pytest.approx(first(log, "validation"), abs=1e-3)


def test_the_last_evaluation_is_that_of_the_saved_model(task, quiet):
    made = task(method="full", epochs=2)
    log, _ = train(made, quiet)
    model = AutoModelForCausalLM.from_pretrained(made.trained)
    assert log[-1]["split"] == "validation"
    assert log[-1]["loss"] == pytest.approx(mean(token_losses(model, made.read_rows()[1])), abs=1e-5)


def test_the_evaluation_does_not_depend_on_its_batches(task, quiet):
    logs = [train(task(str(b), epochs=1, batch_size=4, held=5, n=4), quiet)[0] for b in (4,)]
    made = task("two", epochs=1, batch_size=4, held=5, n=4)
    attempt(made, 2, lambda *_: None)
    logs.append(json.loads(made.log.read_text()))
    for a, b in zip(*logs, strict=True):
        assert (a["step"], a["split"]) == (b["step"], b["split"])
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)


@pytest.mark.parametrize("pad", ["<pad>", "<eos>"])
def test_the_end_is_learned_even_where_it_is_the_pad_token(task, tokenizer, tiny_model, pad):
    """Labels come from us, so padding is told by position; a collator that goes by token would lose the end."""
    tokenizer.pad_token = pad
    made = task(epochs=1, batch_size=4)
    rows, _ = made.read_rows()
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    trainer, _ = make_trainer(made, model, tokenizer, (rows, []), 4, fresh=True)
    batch = next(iter(trainer.get_train_dataloader()))
    for k, i in enumerate(step_order(len(rows), 1, 4, 0)[0, 0]):
        n = len(rows[i]["input_ids"])
        assert batch["labels"][k, :n].tolist() == rows[i]["labels"]
        assert batch["labels"][k, n - 1] == tokenizer.eos_token_id
        assert (batch["labels"][k, n:] == IGNORED).all()
        assert batch["attention_mask"][k].sum() == n


def test_what_a_prompt_s_labels_would_have_been_changes_nothing(task, quiet):
    """The prompt is read but never learned: its labels are all ignored, and no row is changed on the way."""
    made = task(epochs=1, batch_size=4)
    rows, _ = made.read_rows()
    for row in rows:
        learned = [i for i, label in enumerate(row["labels"]) if label != IGNORED]
        assert learned == list(range(learned[0], len(row["labels"]))) and learned[0] > 0
        assert [row["input_ids"][i] for i in learned] == [row["labels"][i] for i in learned]


@pytest.mark.parametrize("lengths", ["equal", "different"])
def test_accumulated_batches_are_one_batch(task, quiet, lengths):
    """Loss curve and weights: 8 at once, 4 and 4, or 2 with a step's last ones missing."""
    found = []
    for batch, accumulate in ((8, 1), (4, 2), (2, 4)):
        made = task(f"{batch}", method="full", n=13, batch_size=batch, accumulate=accumulate)
        if lengths == "equal":
            rows = [{k: v[:12] for k, v in row.items()} for row in made.read_rows()[0]]
            made.write_rows(rows, made.read_rows()[1])
        log, _ = train(made, quiet)
        found.append((log, AutoModelForCausalLM.from_pretrained(made.trained).state_dict()))
    for log, weights in found[1:]:
        assert [row["loss"] for row in log] == pytest.approx([row["loss"] for row in found[0][0]], abs=1e-4)
        for name, value in weights.items():
            assert torch.allclose(value, found[0][1][name], atol=2e-4), name


def test_evaluations_at_the_start_each_epoch_s_end_and_every_so_many_steps(task, quiet):
    log, _ = train(task(n=12, batch_size=4, epochs=2, eval_steps=2), quiet)
    held = [(row["step"], row["epoch"]) for row in log if row["split"] == "validation"]
    assert held == [(0, 0.0), (2, pytest.approx(2 / 3)), (3, 1.0), (4, pytest.approx(4 / 3)), (6, 2.0)]
    assert [row["step"] for row in log if row["split"] == "train"] == [1, 2, 3, 4, 5, 6]
    log, _ = train(task("none", held=0, epochs=1), quiet)
    assert {row["split"] for row in log} == {"train"}
