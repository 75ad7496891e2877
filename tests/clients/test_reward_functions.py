"""The reward functions for TRL and verl, against a live server."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import warnings

import numpy as np
import pytest
from live_server import Stub as StubModel
from live_server import live, score_of
from random_rewards import on_hashes

from rmlab.clients import acompute_score, compute_score, trl_reward
from rmlab.errors import InputError
from rmlab.serve.scorer import ModelScorer

TALK = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def server():
    with live(StubModel()) as found:
        yield found


def test_for_trl(server):
    reward = trl_reward(server.url)
    assert reward.__name__ == "rmlab" and trl_reward(server.url, name="kind").__name__ == "kind"
    more = {
        "completion_ids": [[1], [2]],
        "trainer_state": object(),
        "log_metric": print,
        "answer": ["x", "y"],
    }
    assert reward(prompts=["a", "b"], completions=["c", "d"], **more) == [score_of("c"), score_of("d")]
    said = [{"role": "assistant", "content": "yes"}]
    assert pickle.loads(pickle.dumps(reward))([TALK], [said]) == [score_of("yes")]


def test_for_trl_without_waiting(server):
    from trl.trainer.utils import get_callable_name, is_async_callable

    reward = trl_reward(server.url, is_async=True)
    assert is_async_callable(reward) and not is_async_callable(trl_reward(server.url))
    assert get_callable_name(reward) == "rmlab"
    found = asyncio.run(reward(prompts=["a"], completions=["c"], trainer_state=None))
    assert found == [score_of("c")]


def test_for_verl(server, monkeypatch):
    monkeypatch.setenv("RMLAB_REWARD_URL", server.url)
    assert compute_score("gsm8k", "yes", "7", {"prompt": "Hi", "index": 3}) == score_of("yes")
    asked = {
        "data_source": "gsm8k",
        "solution_str": "no",
        "ground_truth": "7",
        "extra_info": {"question": TALK},
    }
    more = {
        "url": server.url,
        "prompt_key": "question",
        "reward_router_address": "a:1",
        "reward_model_tokenizer": None,
    }
    assert compute_score(**asked, **more) == score_of("no")
    assert inspect.iscoroutinefunction(acompute_score) and not inspect.iscoroutinefunction(compute_score)
    assert asyncio.run(acompute_score(**asked, **more)) == score_of("no")
    array = {"prompt": np.array(TALK, dtype=object)}  # as a Parquet file gives messages
    assert compute_score("gsm8k", "yes", None, array) == score_of("yes")
    with live(StubModel()) as other:  # another server later
        monkeypatch.setenv("RMLAB_REWARD_URL", other.url)
        assert compute_score("gsm8k", "yes", None, array) == score_of("yes")
        assert other.service.metrics.texts == 1


@pytest.mark.parametrize("extra_info", [None, {}, {"prompt": ""}, {"prompt": 3}, {"question": "Hi"}])
def test_verl_without_the_prompt(server, extra_info):
    with pytest.raises(InputError, match="extra_info has no prompt under 'prompt'"):
        compute_score("gsm8k", "yes", None, extra_info, url=server.url)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_step_of_grpo(tiny_model, tmp_path, is_async):
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    prompts = ["Once upon a time", "It was a dark night"] if is_async else [TALK, TALK]
    with live(ModelScorer(on_hashes(), "hashes")) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = GRPOTrainer(
            model=str(tiny_model),
            reward_funcs=[trl_reward(server.url, is_async=is_async)],
            train_dataset=Dataset.from_dict({"prompt": prompts}),
            args=GRPOConfig(
                output_dir=str(tmp_path),
                max_steps=1,
                per_device_train_batch_size=4,
                num_generations=4,
                max_completion_length=8,
                report_to=[],
                use_cpu=True,
                bf16=False,
            ),
        )
        trainer.train()
        assert "rmlab_texts_total 4" in server.ask("/metrics", method="GET").body.decode()
    assert np.isfinite(trainer.state.log_history[0]["rewards/rmlab/mean"])
