"""A tiny language model with random weights and a byte tokenizer, generated at first use, for smoke runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rmlab.models.bundled.stored import stored
from rmlab.paths import cache_folder

NAME = "random-tiny"
WIDTHS = (32, 64)  # of its hidden states and inner layers
CONVERSION = 1
_SPECIAL = ["<pad>", "<bos>", "<eos>"]
_CHAT = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def identity() -> str:
    return f"carried:{NAME}:conversion-{CONVERSION}"


def check() -> None:
    """Nothing is missing: the model is generated."""


def folder() -> Path:
    return stored(cache_folder("models") / f"{NAME}-{CONVERSION}", write_random_model)


def write_random_model(target: Path, seed: int = 0, **changes: Any) -> None:
    """Writes a two-layer Llama of 32 dimensions; `changes` replace values of its configuration."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = byte_tokenizer()
    settings = {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTHS[0],
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        **changes,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(**settings))
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def byte_tokenizer() -> Any:
    """Returns a tokenizer whose tokens are the 256 bytes and three special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*_SPECIAL, *alphabet])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )
    tokenizer.chat_template = _CHAT
    return tokenizer
