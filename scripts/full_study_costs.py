"""GPU-hours, core-hours and disk of one policy on one task.

A token read takes 2 FLOP a parameter, one learned with LoRA 4 (no gradients of the frozen weights).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from full_study_plan import Plan, Setup

_TEXT_BYTES = 4  # a token, and as much again for ids, scores and what else a row holds


class Costs(NamedTuple):
    gpu_hours: float
    core_hours: float | None  # None: not measured
    disk_gb: float

    @classmethod
    def total(cls, parts: Sequence[Costs]) -> Costs:
        known = [p.core_hours for p in parts if p.core_hours is not None]
        core = sum(known) if len(known) == len(parts) else None
        return cls(sum(p.gpu_hours for p in parts), core, sum(p.disk_gb for p in parts))


def costs(plan: Plan, setup: Setup) -> Costs:
    return Costs(_gpu_hours(plan, setup), _core_hours(plan, setup), _disk_gb(plan))


def _responses(plan: Plan) -> int:
    return sum(prompts * n for prompts, n in (plan.shape["train"], plan.shape["test"]))


def _gpu_hours(plan: Plan, setup: Setup) -> float:
    """Prompts are read once for all of their responses."""
    s, shape = plan.supposed, plan.shape
    prompts = shape["train"][0] + shape["test"][0]
    read = prompts * shape["prompt_tokens"]
    written = _responses(plan) * shape["response_tokens"]
    parameters = float(setup.policy["parameters"])
    flop = 2 * parameters * (read / s["reading"] + written / s["sampling"])
    flop += 2 * (s["classifier_parameters"] + s["embedder_parameters"]) * (read + written) / s["reading"]
    if setup.policy["sft"] != "none":
        learned = 2 * shape["train"][0] * shape["demonstration_tokens"]
        flop += 4 * parameters * learned / s["training"]
    return flop / (s["tflops"] * 1e12) / 3600


def _core_hours(plan: Plan, setup: Setup) -> float | None:
    """Cells of one head and budget take as long, whatever their pairing, noise and seed."""
    found = [plan.seconds.get(head, {}).get(budget) for head in plan.heads for budget in plan.budgets]
    times = [seconds for seconds in found if seconds is not None]
    if plan.measured_on is None or len(times) < len(found):
        return None
    return setup.n_cells * sum(times) / len(times) / 3600


def _disk_gb(plan: Plan) -> float:
    bytes_a_row = 2 * plan.shape["width"] + 2 * _TEXT_BYTES * plan.shape["response_tokens"]
    return _responses(plan) * bytes_a_row / 1e9
