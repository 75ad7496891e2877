"""Sizes of the check on a CUDA device: the model's shape, and how much is read and written."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch


class Shape(NamedTuple):
    """Of a Gemma model. Weights are counted without norms and input embeddings, which are looked up."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    head_width: int
    key_value_heads: int
    vocabulary: int

    def products(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of the matrix products of one layer."""
        inner, shared = self.heads * self.head_width, self.key_value_heads * self.head_width
        attention = [(self.hidden, inner), (self.hidden, shared), (self.hidden, shared), (inner, self.hidden)]
        widened = (self.hidden, self.intermediate)
        return [*attention, widened, widened, (self.intermediate, self.hidden)]

    def layer_weights(self) -> int:
        """In the products of all layers."""
        return self.layers * sum(i * o for i, o in self.products())

    def head_weights(self) -> int:
        """From the last state to the logits."""
        return self.hidden * self.vocabulary

    def cache_values(self) -> int:
        """Of one token's keys and values in all layers."""
        return 2 * self.layers * self.key_value_heads * self.head_width

    def config(self, **changes: Any) -> Any:
        from transformers import GemmaConfig

        return GemmaConfig(
            hidden_size=self.hidden,
            intermediate_size=self.intermediate,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.key_value_heads,
            head_dim=self.head_width,
            vocab_size=self.vocabulary,
            initializer_range=0.9 / self.hidden**0.5,  # Gemma's own 0.02 at its own width
            architectures=["GemmaForCausalLM"],
            **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **changes},
        )


class Sizes(NamedTuple):
    shape: Shape
    texts: int  # to embed in bfloat16
    texts_float32: int  # the first of them, in float32 too
    text_tokens: tuple[int, int]  # shortest and longest, evenly spread in the logarithm
    padded_batch: int  # texts a batch of the padded loop
    prompts: int  # of each length
    prompt_tokens: tuple[int, ...]
    samples: int  # a prompt
    new_tokens: int
    copied: int  # bytes

    def halved(self) -> Sizes:
        return self._replace(
            texts=self.texts // 2, texts_float32=self.texts_float32 // 2, prompts=self.prompts // 2
        )


GEMMA_2B = Sizes(
    shape=Shape(2048, 16384, 18, 8, 256, 1, 256000),
    texts=4000,
    texts_float32=400,
    text_tokens=(8, 512),
    padded_batch=64,
    prompts=8,
    prompt_tokens=(64, 400),
    samples=100,
    new_tokens=48,
    copied=2**32,
)
TINY = Sizes(
    shape=Shape(64, 128, 2, 4, 16, 1, 512),
    texts=24,
    texts_float32=8,
    text_tokens=(8, 48),
    padded_batch=8,
    prompts=2,
    prompt_tokens=(8, 20),
    samples=6,
    new_tokens=4,
    copied=2**20,
)


def random_model(shape: Shape, device: str, spread: float = 4.5) -> Any:
    """In bfloat16, made on the device, never stored. spread: standard deviation of its logits.

    At 4.5 a vocabulary of 256,000 has a perplexity of about 10, as text does, so that top-p works as hard as
    usual. The head is not tied: tied random weights repeat the last token for ever.
    """
    from transformers import AutoModelForCausalLM

    config = shape.config(tie_word_embeddings=False)
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        with torch.no_grad():
            model.lm_head.weight.normal_(std=spread / shape.hidden**0.5)
    return model.train(False)
