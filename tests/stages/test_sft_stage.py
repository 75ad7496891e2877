"""The sft stage: tokenised demonstrations, what it writes, and that what it writes is one policy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from small_settings import SMALL
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from rmlab.errors import InputError, RmlabError
from rmlab.models.compute import Compute
from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.run import run_nodes


def finetune(out: Path, *overrides: str) -> Path:
    """Runs prompts and sft; returns sft's artifact."""
    arms = load_arms([*SMALL, f"out={out}", *overrides])
    run_nodes([n for n in plan(arms) if n.stage in ("prompts", "sft")], "test", quiet=True)
    (manifest,) = (out / "sft").glob("*/manifest.json")
    return manifest.parent


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def greedy(model, folder: Path, prompt: str) -> list[int]:
    ids = AutoTokenizer.from_pretrained(folder)(prompt, return_tensors="pt")["input_ids"]
    return model.generate(ids, max_new_tokens=24, do_sample=False)[0].tolist()


HOT = ("sft.learning_rate=0.02", "sft.epochs=3", "demonstrations.n=16")


@pytest.mark.slow
def test_an_adapter_and_a_merged_model_are_the_same_policy(tmp_path):
    merged = finetune(tmp_path / "merged", *HOT) / "model"
    adapter = finetune(tmp_path / "adapter", *HOT, "sft.output=adapter") / "model"
    assert (adapter / "adapter_model.safetensors").is_file() and not (adapter / "model.safetensors").exists()
    assert not (merged / "adapter_config.json").exists() and not (merged / "base_model.json").exists()
    base = Path(json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"])
    assert base.is_dir() and base.is_absolute()
    one, two = (Compute().load_model(AutoModelForCausalLM, f) for f in (merged, adapter))
    start = Compute().load_model(AutoModelForCausalLM, base)
    assert type(one) is type(two)
    differ = False
    for prompt in ("The sea", "I was told that", "x"):
        assert greedy(one, merged, prompt) == greedy(two, adapter, prompt)
        differ |= greedy(one, merged, prompt) != greedy(start, base, prompt)
    assert differ  # from the base: the adapter does something


def test_an_adapter_loads_as_peft_loads_it(tmp_path):
    """Against peft's own class, unmerged, found by the base that the adapter names."""
    from peft import AutoPeftModelForCausalLM

    folder = finetune(tmp_path, *HOT, "sft.output=adapter") / "model"
    ids = torch.tensor([[5, 60, 70, 80, 90]])
    with torch.no_grad():
        theirs = AutoPeftModelForCausalLM.from_pretrained(folder).train(False)(input_ids=ids).logits
        ours = Compute().load_model(AutoModelForCausalLM, folder)(input_ids=ids).logits
        hidden = Compute().load_model(AutoModel, folder)(input_ids=ids).last_hidden_state
        whole = Compute().load_model(AutoModelForCausalLM, folder)
        expected = whole(input_ids=ids, output_hidden_states=True).hidden_states[-1]
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert torch.allclose(hidden, expected, atol=1e-6)


def test_an_adapter_whose_base_is_gone_says_what_to_do(tmp_path):
    from rmlab.models.bundled.random_tiny import write_random_model

    base = tmp_path / "base"
    write_random_model(base, seed=3)
    folder = finetune(tmp_path / "o", f"model={base}", "sft.output=adapter") / "model"
    shutil.copytree(folder, tmp_path / "moved")  # an adapter may move
    Compute().load_model(AutoModelForCausalLM, tmp_path / "moved")
    base.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"base model .*/base is not there; put it back") as raised:
        Compute().load_model(AutoModelForCausalLM, folder)
    assert "\n" not in str(raised.value)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = str(tmp_path / "elsewhere")
    (folder / "adapter_config.json").write_text(json.dumps(config))
    Compute().load_model(AutoModelForCausalLM, folder)


def test_a_carried_base_is_found_by_name_when_its_cache_has_moved(tmp_path):
    folder = finetune(tmp_path, "sft.output=adapter") / "model"
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "/nowhere/random-tiny-1"
    (folder / "adapter_config.json").write_text(json.dumps(config))
    Compute().load_model(AutoModelForCausalLM, folder)


@pytest.mark.slow
def test_an_adapter_may_be_fine_tuned_further(tmp_path):
    first = finetune(tmp_path / "first", *HOT, "sft.output=adapter") / "model"
    more = (*HOT, f"model={first}", "demonstrations.n=8")
    merged = finetune(tmp_path / "merged", *more) / "model"
    adapter = finetune(tmp_path / "adapter", *more, "sft.output=adapter") / "model"
    one, two, before = (Compute().load_model(AutoModelForCausalLM, f) for f in (merged, adapter, first))
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name])
    assert any(not torch.equal(v, before.state_dict()[name]) for name, v in one.state_dict().items())


def test_a_classifier_of_an_adapter_is_refused(tmp_path):
    from transformers import AutoModelForSequenceClassification

    folder = finetune(tmp_path, "sft.output=adapter") / "model"
    with pytest.raises(InputError, match="the adapter is not of such a model"):
        Compute().load_model(AutoModelForSequenceClassification, folder)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(InputError, match="safetensors only"):
        Compute().load_model(AutoModelForCausalLM, folder)


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize(("dtype", "stored"), [("float32", "F32"), ("bfloat16", "BF16")])
def test_weights_are_kept_in_the_dtype_and_trained_in_32_bits(tmp_path, monkeypatch, method, dtype, stored):
    from rmlab.sft import attempt

    original, seen = attempt._write, set()

    def write(task, trainer, steps):
        seen.update(p.dtype for p in trainer.model.parameters() if p.requires_grad)
        original(task, trainer, steps)

    monkeypatch.setattr(attempt, "_write", write)
    settings = (f"sft={method}", f"dtype={dtype}", "sft.precision=bfloat16")
    folder = finetune(tmp_path, *settings)
    assert seen == {torch.float32}
    assert manifest(folder)["metrics"]["precision"] == "bfloat16"
    with safe_open(folder / "model" / "model.safetensors", framework="pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {stored}  # noqa: SIM118


def test_auto_precision_on_a_cpu_is_32_bits(tmp_path):
    folder = finetune(tmp_path, "dtype=bfloat16")
    assert manifest(folder)["metrics"]["precision"] == "float32"


def test_float16_is_refused_before_anything_runs(cli, tmp_path):
    result = cli("run", *SMALL, "dtype=float16", f"out={tmp_path}")
    assert result.code == 2
    assert result.line.endswith("sft does not train in float16; set sft.precision to bfloat16 or float32")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("sft=full", "sft.output=adapter"), "output=adapter needs LoRA"),
        (("sft.devices=3",), "batch_size=8 cannot be shared by devices=3"),
        (("sft.precision=float16",), "precision"),
    ],
)
def test_what_does_not_go_together_is_one_line(cli, tmp_path, overrides, words):
    result = cli("run", *SMALL, *overrides, f"out={tmp_path}")
    assert result.code == 2 and words in result.line


def test_held_out_demonstrations_are_counted_and_evaluated(tmp_path):
    folder = finetune(tmp_path, "demonstrations.n=20", "sft.eval_fraction=0.25", "sft.epochs=2")
    found = manifest(folder)
    assert found["counts"]["demonstrations"] == 15 and found["counts"]["demonstrations_held_out"] == 5
    log = pq.read_table(folder / "training_log.parquet").to_pylist()
    held = [row for row in log if row["split"] == "validation"]
    assert [row["step"] for row in held] == [0, 2, 4]
    assert found["metrics"]["first_eval_loss"] == held[0]["loss"]
    assert found["metrics"]["last_eval_loss"] == held[-1]["loss"]
    assert len({(row["step"], row["split"]) for row in log}) == len(log)
    none = finetune(tmp_path / "none", "demonstrations.n=20", "sft.eval_fraction=0")
    assert "first_eval_loss" not in manifest(none)["metrics"]
    assert manifest(none)["counts"]["demonstrations"] == 20


def test_long_demonstrations_are_dropped_counted_and_said(tmp_path):
    words = [len(f"prompt {i}" + "y" * i) for i in range(1, 61)]
    file = tmp_path / "demos.jsonl"
    lines = [json.dumps({"prompt": f"prompt {i}", "completion": "y" * i}) for i in range(1, 61)]
    file.write_text("\n".join(lines))
    folder = finetune(
        tmp_path / "o", "demonstrations.n=null", f"demonstrations.path={file}", "sft.max_tokens=40"
    )
    found = manifest(folder)
    dropped = sum(n + 1 > 40 for n in words)  # a byte a token, and the end
    assert found["counts"]["demonstrations_dropped"] == dropped > 0
    assert found["warnings"] == [f"{dropped} demonstrations over sft.max_tokens=40 were dropped"]
    with pytest.raises(InputError, match="no demonstration fits sft.max_tokens=8; raise it"):
        finetune(tmp_path / "p", f"demonstrations.path={file}", "demonstrations.n=3", "sft.max_tokens=8")


def test_a_loss_that_is_not_finite_is_one_line(tmp_path):
    with pytest.raises(RmlabError, match=r"loss of sft is not finite at step \d+; lower sft.learning_rate"):
        finetune(tmp_path, "sft=full", "sft.learning_rate=1e30", "demonstrations.n=16", "sft.batch_size=2")
    assert not list(tmp_path.glob("sft/*/model"))


def test_rows_have_one_begin_and_one_end(tmp_path, monkeypatch):
    """A tokenizer that begins plain text with <bos>, and one that uses no such token."""
    from tokenizers.processors import TemplateProcessing

    from rmlab.models.bundled.random_tiny import write_random_model
    from rmlab.sft import train as training

    seen = []

    def train(task, progress):
        seen.extend(row for part in task.read_rows() for row in part)
        raise RmlabError("seen")

    monkeypatch.setattr(training, "train", train)
    for begins in (False, True):
        seen.clear()
        base = tmp_path / f"base-{begins}"
        write_random_model(base)
        tokenizer = AutoTokenizer.from_pretrained(base)
        if begins:
            tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
                single="<bos> $A", special_tokens=[("<bos>", tokenizer.bos_token_id)]
            )
            tokenizer.save_pretrained(base)
        for template in ("plain", "chat", "hh"):
            with pytest.raises(RmlabError, match="seen"):
                finetune(tmp_path / f"{begins}-{template}", f"model={base}", f"prompts.template={template}")
        assert len(seen) == 12
        for row in seen:
            ids, labels = row["input_ids"], row["labels"]
            assert (
                ids.count(tokenizer.bos_token_id) == begins and (ids[0] == tokenizer.bos_token_id) == begins
            )
            assert labels.count(tokenizer.eos_token_id) == 1 == ids.count(tokenizer.eos_token_id)
            assert labels[-1] == tokenizer.eos_token_id
            learned = [i for i, label in enumerate(labels) if label != -100]
            assert learned[0] > 0 and learned == list(range(learned[0], len(labels)))


def test_nothing_but_safetensors_is_left(tmp_path):
    for name, overrides in {"a": (), "b": ("sft.output=adapter",), "c": ("sft=full",)}.items():
        folder = finetune(tmp_path / name, *overrides)
        names = {p.suffix for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}
        assert names <= {".safetensors", ".json", ".jinja", ".parquet"}


def test_run_time_knobs_are_not_in_the_fingerprint_and_the_rest_is():
    def fingerprint(*overrides: str) -> str:
        return next(n for n in plan(load_arms([*SMALL, *overrides])) if n.stage == "sft").fingerprint

    same = fingerprint()
    assert fingerprint("sft.devices=2", "sft.checkpoint_steps=3") == same
    for change in ("precision=float32", "output=adapter", "eval_fraction=0", "eval_steps=3"):
        assert fingerprint(f"sft.{change}") != same
