"""A head in one folder with its embedding model: it scores alike when what it was made from is gone."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from peft import LoraConfig, get_peft_model
from reward_models import linear_head, reward_model, small_model
from tokenizer_habits import HABITS
from transformers import AutoModelForCausalLM

from rmlab import RewardModel
from rmlab.errors import InputError
from rmlab.heads.fitted.several import EnsembleHead
from rmlab.reward.folder import new_folder
from rmlab.reward.portable import write_portable

TEXTS = {"prompts": ["yes?", "no?", "Hi there"], "responses": ["no", "maybe", "the dough rose"]}


@pytest.fixture
def base(tmp_path):
    tokenizer = next(h for h in HABITS if h.name == "qwen").tokenizer()
    return small_model(tmp_path / "base", tokenizer)


def written(model, folder):
    with new_folder(folder) as made:
        write_portable(model, made)
    return RewardModel.load(folder)


@pytest.mark.parametrize("pooling", ["mean", "last", "end"])
def test_any_head_scores_alike_elsewhere(base, tmp_path, pooling):
    head = EnsembleHead(members=(linear_head(32, 1), linear_head(32, 2)), combine="min")
    model = reward_model(base, head=head, pooling=pooling, layer=1)
    expected = model.score(**TEXTS)
    written(model, tmp_path / "whole")
    shutil.rmtree(base)
    shutil.move(tmp_path / "whole", tmp_path / "elsewhere")
    again = RewardModel.load(tmp_path / "elsewhere")
    np.testing.assert_array_equal(again.score(**TEXTS), expected)
    assert again.origin == model.origin


def test_what_is_no_part_of_the_model_stays_behind(base, tmp_path):
    (base / "pytorch_model.bin").write_bytes(b"\x80\x02")
    (base / "notes.md").write_text("mine")
    (base / "modeling_own.py").write_text("raise SystemExit")
    (base / ".cache").mkdir()
    (base / ".cache" / "x.json").write_text("{}")
    written(reward_model(base), tmp_path / "whole")
    names = {p.name for p in (tmp_path / "whole" / "model").rglob("*")}
    assert "model.safetensors" in names
    assert not names & {"pytorch_model.bin", "notes.md", "modeling_own.py", "x.json"}


def test_a_copy_that_was_changed_is_refused(base, tmp_path):
    written(reward_model(base), tmp_path / "whole")
    weights = tmp_path / "whole" / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(InputError, match="has other contents than the one that the head was fitted on"):
        RewardModel.load(tmp_path / "whole").score(**TEXTS)
    again = RewardModel.load(tmp_path / "whole", base_model=str(base))  # the model's own place still does
    assert np.isfinite(again.score(**TEXTS)).all()


def test_an_adapter_comes_merged(base, tmp_path):
    how = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), how).save_pretrained(tmp_path / "adapter")
    for file in base.iterdir():
        if file.name.startswith(("tokenizer", "chat_template", "config.json")):
            shutil.copy(file, tmp_path / "adapter")
    model = reward_model(tmp_path / "adapter")
    expected = model.score(**TEXTS)
    assert np.abs(expected - reward_model(base).score(**TEXTS)).max() > 1e-3
    written(model, tmp_path / "whole")
    shutil.rmtree(base)
    np.testing.assert_allclose(RewardModel.load(tmp_path / "whole").score(**TEXTS), expected, atol=1e-6)


def test_a_head_that_reads_no_model_needs_none(tmp_path, base):
    model = reward_model(base)
    hashed = {"_name_": "hashing", "dimension": 32, "seed": 0}
    other = replace(model.origin, embedder=hashed, model="", identity="")
    with new_folder(tmp_path / "whole") as made:
        write_portable(replace(model, origin=other), made)
    assert not (tmp_path / "whole" / "model").exists()
    assert RewardModel.load(tmp_path / "whole").origin == other


def test_every_command_reads_it(base, tmp_path, cli):
    written(reward_model(base), tmp_path / "whole")
    shutil.rmtree(base)
    (tmp_path / "rows.jsonl").write_text(
        '{"prompt": "yes?", "chosen": "no", "rejected": "maybe", "subset": "alpacaeval-easy"}\n'
    )
    for command in (("score",), ("bench", "--suite", "rewardbench")):
        done = cli(*command, tmp_path / "rows.jsonl", "--head", tmp_path / "whole")
        assert done.code == 0, done.err
