"""What vLLM must be told of a LoRA adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rmlab.adapter import ADAPTER_CONFIG
from rmlab.errors import InputError

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM has kernels for


def adapter_arguments(folder: Path) -> dict[str, Any]:
    """Arguments of vllm.LLM, from peft's record of the adapter."""
    config = json.loads((folder / ADAPTER_CONFIG).read_text())
    ranks = [int(config.get("r", 0)), *map(int, config.get("rank_pattern", {}).values())]
    if max(ranks) > _RANKS[-1]:
        raise InputError(f"{folder}: vLLM takes no LoRA of rank {max(ranks)}; use sft.output=merged")
    rank = next(r for r in _RANKS if r >= max(ranks))
    return {"enable_lora": True, "max_loras": 1, "max_lora_rank": rank}
