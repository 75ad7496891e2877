"""Converts a GGUF model to bfloat16 safetensors.

Usage: python -m rmlab.models.bundled.convert_gguf FILE.gguf FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from rmlab.processes import end_with_parent


def convert(source: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    place = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    tokenizer = AutoTokenizer.from_pretrained(**place)
    quantised = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
    settings = quantised.config.to_dict()
    for key in ("quantization_config", "_model_name_or_path"):
        settings.pop(key, None)
    # transformers does not save a model that was read from GGUF, so its weights go into a plain one
    model = AutoModelForCausalLM.from_config(type(quantised.config).from_dict(settings), dtype=torch.bfloat16)
    model.load_state_dict(quantised.state_dict())
    model.generation_config = quantised.generation_config
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


if __name__ == "__main__":
    end_with_parent()
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
