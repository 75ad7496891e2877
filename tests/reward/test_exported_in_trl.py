"""TRL's GRPO trainer takes the folder of an exported head as its reward, and computes the head's own scores."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from datasets import Dataset
from reward_models import reward_model, small_model
from tokenizer_habits import HABITS
from trl import GRPOConfig, GRPOTrainer

from rmlab.models.bundled.random_tiny import write_random_model
from rmlab.reward.classifier import write_classifier


@pytest.mark.parametrize("template", ["chat", "plain"])
def test_one_step_is_rewarded_as_by_the_head(tmp_path, template):
    tokenizer = next(h for h in HABITS if h.name == "qwen").tokenizer()
    model = reward_model(small_model(tmp_path / "base", tokenizer), template)
    done = write_classifier(model, tmp_path / "rm")
    write_random_model(tmp_path / "policy", seed=0)
    questions = ["Once upon a time", "It was a dark night"]
    as_talk = template == "chat"
    prompts = [[{"role": "user", "content": q}] if as_talk else q for q in questions]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = GRPOTrainer(
            model=str(tmp_path / "policy"),
            reward_funcs=str(tmp_path / "rm"),
            train_dataset=Dataset.from_dict({"prompt": prompts}),
            args=GRPOConfig(
                output_dir=str(tmp_path / "grpo"),
                max_steps=1,
                per_device_train_batch_size=4,
                num_generations=4,
                max_completion_length=8,
                report_to=[],
                use_cpu=True,
                bf16=False,
                seed=1,
            ),
        )
        trainer.train()
    assert trainer.state.global_step == 1
    (rewards,) = trainer._logs["rewards"].values()
    asked, answers = list(trainer._logs["prompt"]), list(trainer._logs["completion"])
    assert len(rewards) == 4 and np.ptp(rewards) > 0
    np.testing.assert_allclose(np.array(rewards) + done.constant, model.score(asked, answers), atol=1e-3)
