"""The vLLM engine, which runs in processes of its own, and its default options.

The output of its processes goes to a temporary file, in which the reason of a failure is looked up and whose
end goes to the run's log; with RMLAB_DEBUG=1 it goes to stderr. It never goes to stdout.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from rmlab.config.optional_packages import require
from rmlab.errors import InputError, RmlabError
from rmlab.logs import log as run_log
from rmlab.models.compute import Compute, torch_threads_kept

_GIB = 2**30
_RECORDED = 10_000  # bytes of the output's end that go to the log of the run
_REASON = re.compile(
    rb"(?:^|[\s:(])(?:[\w.]+\.)?([A-Z]\w*(?:Error|Exception|Interrupt): [^\r\n]+)", re.MULTILINE
)
_HINT = "; RMLAB_DEBUG=1 shows all its output"


@dataclass
class Engine:
    """An open vllm.LLM. log: the output of its processes."""

    llm: Any
    log: BinaryIO = field(repr=False)

    def generate(
        self, prompts: Sequence[list[int]], how: Sequence[dict[str, Any]], adapter: Path | None
    ) -> list[Any]:
        """Returns a CompletionOutput for each prompt (token ids), in order. how: SamplingParams of each."""
        from vllm import SamplingParams, TokensPrompt
        from vllm.lora.request import LoRARequest

        lora = LoRARequest("policy", 1, str(adapter)) if adapter else None
        try:
            outputs = self.llm.generate(
                [TokensPrompt(prompt_token_ids=tokens) for tokens in prompts],
                [SamplingParams(**params) for params in how],
                lora_request=lora,
                use_tqdm=False,
            )
        except Exception as error:
            raise RmlabError(f"vLLM failed while it sampled ({_reason(error, self.log)}){_HINT}") from None
        return [output.outputs[0] for output in outputs]

    def close(self) -> None:
        """Ends the engine's processes, which frees their memory."""
        self.llm.llm_engine.engine_core.shutdown(timeout=30)
        self.log.close()


def open_engine(folder: Path, compute: Compute, arguments: dict[str, Any]) -> Engine:
    """Opens the engine. arguments: of vllm.LLM, to which those for a CPU are added on one."""
    log = tempfile.TemporaryFile()  # noqa: SIM115, closed with the engine
    try:
        with _environment(environment(compute.device)), _output_to(log), torch_threads_kept():
            return Engine(_open(folder, compute, arguments), log)
    except BaseException as error:
        reason = _reason(error, log)
        log.close()
        if isinstance(error, RmlabError) or not isinstance(error, Exception):
            raise
        raise RmlabError(f"vLLM cannot open {folder} ({reason}){_HINT}") from None


def environment(device: str) -> dict[str, str]:
    """Returns the environment variables of the engine's processes on any machine."""
    found = {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_LOGGING_STREAM": "ext://sys.stderr",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # this process has threads, which a fork would lose
    }
    kind, _, index = device.partition(":")
    if kind == "cuda" and index:
        shown = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        names = [name for name in shown.split(",") if name]
        found["CUDA_VISIBLE_DEVICES"] = names[int(index)] if int(index) < len(names) else index
    return found


def cpu_environment() -> dict[str, str]:
    """Returns further variables on a CPU. Compilation at run time is off, since it needs a C++ compiler."""
    return {
        "VLLM_CPU_KVCACHE_SPACE": str(_cache_gib()),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # all cores; bound, it would leave one of them idle
        "TORCH_COMPILE_DISABLE": "1",
        "GOMP_SPINCOUNT": "20000",  # threads that spin long while they wait stall the others
    }


def cpu_arguments(max_model_len: int) -> dict[str, object]:
    """Returns arguments of vllm.LLM on a CPU, where seeded requests fail if a prompt takes two passes."""
    return {
        "enforce_eager": True,
        "block_size": 32,  # tokens; prompts are shared in whole blocks, and the default there is 128
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(4096, max_model_len),
    }


def _cache_gib() -> int:
    """Returns a quarter of the memory, from 1 to 4 GiB, enough for a thousand responses of a small model."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _GIB
    return max(1, min(4, total // 4))


def _open(folder: Path, compute: Compute, arguments: dict[str, Any]) -> Any:
    require("sampler=vllm", "vllm")
    try:
        from vllm import LLM
        from vllm.platforms import current_platform
    except ImportError as error:
        raise RmlabError(f"cannot import vLLM ({error})") from None
    kind = str(current_platform.device_type)
    wanted = compute.device.partition(":")[0]
    if wanted not in ("auto", kind):
        raise InputError(f"device={compute.device}, but this vLLM runs on {kind}; leave device=auto")
    if kind == "cpu":
        for name, value in cpu_environment().items():
            os.environ.setdefault(name, value)
        arguments = {**cpu_arguments(arguments["max_model_len"]), **arguments}
    return LLM(model=str(folder), **arguments)


@contextlib.contextmanager
def _environment(defaults: dict[str, str]) -> Iterator[None]:
    """Sets variables that the user's environment lacks, for the engine's processes to inherit.

    They are removed at the end, as are those that vLLM sets, since later stages start processes of their own.
    """
    before = dict(os.environ)
    try:
        for name, value in defaults.items():
            os.environ.setdefault(name, value)
        os.environ.update({k: v for k, v in defaults.items() if k == "CUDA_VISIBLE_DEVICES"})
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _output_to(log: BinaryIO) -> Iterator[None]:
    """Redirects stdout and stderr of processes started within to the log, or with RMLAB_DEBUG to stderr."""
    kept = [os.dup(1), os.dup(2)]
    try:
        if not os.environ.get("RMLAB_DEBUG"):
            os.dup2(log.fileno(), 2)
        os.dup2(2, 1)
        yield
    finally:
        for number, original in enumerate(kept, start=1):
            os.dup2(original, number)
            os.close(original)


def _reason(error: BaseException, log: BinaryIO) -> str:
    """Returns the first error in the processes' output, which caused the others, or else this one."""
    said = os.pread(log.fileno(), 10**7, 0) if "ngine" in str(error) + type(error).__name__ else b""
    run_log.event("processes", "error", what="vllm", text=said[-_RECORDED:].decode(errors="replace"))
    found = _REASON.search(said)
    text = found.group(1).decode(errors="replace") if found else f"{type(error).__name__}: {error}"
    return " ".join(text.partition("[type=")[0].split())[:300]
