"""The side of vLLM, run by its own environment: MODEL_FOLDER PROMPTS.json SAMPLES NEW_TOKENS DTYPE.

Prints one JSON object with the seconds of generation alone, the engine opened and warmed up before. The
engine is left free: n samples a request share their prompt, no seeds, no log-probabilities, its own batches.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

_CORES = len(os.sched_getaffinity(0))
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_CPU_KVCACHE_SPACE": "2",
    # all cores: the default keeps one for the scheduler, which is half of two
    "VLLM_CPU_OMP_THREADS_BIND": f"0-{_CORES - 1}" if _CORES > 1 else "0",
    "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
    "LD_PRELOAD": next((str(p) for p in Path(sys.prefix).glob("lib/libiomp5.so")), ""),
}


def main() -> None:
    folder, file, samples, new_tokens, dtype = sys.argv[1:]
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    from vllm import LLM, SamplingParams

    prompts = json.loads(Path(file).read_text())
    engine = LLM(
        folder,
        dtype=dtype,
        max_model_len=512,
        max_num_seqs=256,
        max_num_batched_tokens=4096,
        block_size=32,
        enforce_eager=True,
        enable_prefix_caching=True,
        seed=0,
    )

    def generate(tokens: list[list[int]], n: int) -> int:
        how = SamplingParams(
            n=n, temperature=1.0, top_p=0.95, top_k=0, max_tokens=int(new_tokens), detokenize=False
        )
        made = engine.generate([{"prompt_token_ids": t} for t in tokens], how, use_tqdm=False)
        return sum(len(sample.token_ids) for request in made for sample in request.outputs)

    generate([prompts[0][:32]], 16)
    started = time.perf_counter()
    tokens = generate(prompts, int(samples))
    print(json.dumps({"seconds": time.perf_counter() - started, "tokens": tokens}), flush=True)


if __name__ == "__main__":
    main()
