"""Tests with a real vLLM engine, in an environment of its own: make test-vllm. What is skipped has failed."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    return _no_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    return _no_skip(report)


def _no_skip(report: Any) -> Any:
    if report.outcome == "skipped":
        report.outcome, report.longrepr = "failed", f"skipped, which counts as failed: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def smollm2() -> Path:
    from rmlab.models.weights import find_model

    return find_model("smollm2-135m-q4").folder()


@pytest.fixture(scope="session")
def session(smollm2: Path) -> Any:
    """One open engine for all tests that need no other."""
    from rmlab.models.compute import Compute
    from rmlab.samplers.vllm import VllmSampler

    return VllmSampler(max_model_len=256, max_num_seqs=64).open(smollm2, "plain", Compute())


@pytest.fixture(scope="session")
def reference(smollm2: Path) -> tuple[Any, Any]:
    """The same model and its tokenizer in transformers."""
    from transformers import AutoModelForCausalLM

    from rmlab.models.compute import Compute

    compute = Compute(device="cpu")
    return compute.load_model(AutoModelForCausalLM, smollm2), compute.load_tokenizer(smollm2)
