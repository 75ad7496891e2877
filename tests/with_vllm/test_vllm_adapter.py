"""A LoRA adapter's folder in place of a model: the base with the adapter applied by vLLM."""

import pytest
from vllm_drawing import OPENINGS, draw

from rmlab.models.compute import Compute
from rmlab.samplers.transformers import TransformersSampler
from rmlab.samplers.vllm import VllmSampler


@pytest.fixture
def adapter(smollm2, tmp_path):
    """A random adapter of SmolLM2, strong enough to change what it says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    compute = Compute(device="cpu")
    how = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(compute.load_model(AutoModelForCausalLM, smollm2), how)
    generator = torch.Generator().manual_seed(0)
    for name, weights in model.named_parameters():
        if "lora_A" in name:  # peft draws it too, but by torch's own seed, which nobody sets here
            weights.data.normal_(0, weights.shape[1] ** -0.5, generator=generator)
        elif "lora_B" in name:
            weights.data.normal_(0, 0.02, generator=generator)
    model.save_pretrained(tmp_path / "adapter")
    compute.load_tokenizer(smollm2).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_an_adapter_speaks_as_the_merged_model_does(adapter, smollm2):
    compute = Compute(device="cpu")
    ours = draw(VllmSampler(max_model_len=256).open(adapter, "plain", compute), temperature=0.0)
    merged = draw(TransformersSampler().open(adapter, "plain", compute), temperature=0.0)
    base = draw(TransformersSampler().open(smollm2, "plain", compute), temperature=0.0)
    same = [(a, b) for [a], [b] in zip(ours, merged, strict=True) if a.text == b.text]
    assert len(same) >= 0.9 * len(OPENINGS)
    assert all(a.logprob == pytest.approx(b.logprob, abs=1e-2) for a, b in same)
    assert sum(a.text != b.text for [a], [b] in zip(ours, base, strict=True)) >= len(OPENINGS) / 2
