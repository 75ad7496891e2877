"""dtype=float32 draws the same texts on every machine: those that an earlier version drew on another one.

`python tests/samplers/test_same_everywhere.py` prints the samples anew.
"""

import json
from pathlib import Path

import pytest

from rmlab.config.settings import Sampling
from rmlab.models.compute import Compute
from rmlab.models.weights import find_model
from rmlab.samplers.base import SamplingTask
from rmlab.samplers.transformers import TransformersSampler

KNOWN = Path(__file__).with_name("float32_samples.json")
PROMPTS = (
    "The film opened last week in Paris, and",
    "I wanted to like this restaurant, but",
    "What is the capital of Norway?",
)
N, NEW_TOKENS = 5, 24


def sampled():
    sampler = TransformersSampler().open(find_model("smollm2-135m-q4").folder(), "plain", Compute("float32"))
    how = Sampling(
        n_train=1, n_test=1, temperature=1.0, top_p=0.95, max_new_tokens=NEW_TOKENS, stop=[],
        max_prompt_tokens=None, long_prompts="drop",
    )  # fmt: skip
    messages = [[{"role": "user", "content": text}] for text in PROMPTS]
    tasks = [SamplingTask(f"p{i}", m, sampler.encode(m), N) for i, m in enumerate(messages)]
    return [
        [{"text": s.text, "logprob": round(s.logprob, 2), "near_ties": s.near_ties} for s in row]
        for row in sampler.generate(tasks, how, 0, lambda tokens: None)
    ]


def test_texts_are_those_of_other_machines():
    known, found = json.loads(KNOWN.read_text()), sampled()
    assert [len(row) for row in found] == [N] * len(PROMPTS)
    pairs = [(k, f) for rows in zip(known, found, strict=True) for k, f in zip(*rows, strict=True)]
    sure = [(k, f) for k, f in pairs if not k["near_ties"] and not f["near_ties"]]
    assert len(sure) > 0.8 * len(pairs)
    for k, f in sure:
        assert f["text"] == k["text"]
        assert f["logprob"] == pytest.approx(k["logprob"], abs=0.02)


if __name__ == "__main__":
    print(json.dumps(sampled(), indent=1))
