"""Two implementations of the study's recipe give the same effects: rmlab's arms, and second_study.py.

The second one was written from the description of the study alone and shares no code with rmlab. What both
are asked: do comparisons across prompts beat those within, for similar and for diverse sets of responses,
and does classification beat Bradley-Terry. That last effect is near 0 at 20 % wrong answers, so that of the
difference of losses the size is compared, and the sign only where both tell it from 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy import stats
from second_study import effect as effect_of_second
from second_study import interval

from rmlab.paths import user_path
from rmlab.pipeline.plan import in_order
from rmlab.pipeline.run import run_nodes
from rmlab.study.claims import contrast
from rmlab.study.effects import effect
from rmlab.study.finding import Claim, Finding, load_findings
from rmlab.study.plan import Member, plan_study
from rmlab.study.values import CellValues

SET = "shipped:released/openings-smollm2"
SETUP = {"policy": "base", "reward": "sentiment", "embedder": "smollm2"}
OURS, SECOND = range(0, 4), range(100, 105)  # seeds: of different draws, so that the two are independent
DESIGNS = {"similar": 1, "diverse": -1}  # the sign of what across gains over within


class Joint(NamedTuple):
    """A difference of two implementations' effects and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        return self.low <= 0 <= self.high


def joint(ours: np.ndarray, second: np.ndarray) -> Joint:
    """[S, P] and [T, P], effects by seed and by the same P test prompts -> the difference of their means.

    Seeds of the two are independent, prompts are shared. With d_p the difference on prompt p of the means
    over seeds, the variance of the mean of d is taken as v_S / S + v_T / T + v_d / P, where v_S and v_T are
    the variances of the seeds' means over prompts and v_d is that of d over prompts; Student's t has
    Satterthwaite's degrees of freedom. What is particular to a seed on a prompt is in v_d and, a little, in
    v_S and v_T too, so that the interval is rather too wide than too narrow.
    """
    d = ours.mean(axis=0) - second.mean(axis=0)
    samples = ours.mean(axis=1), second.mean(axis=1), d
    parts = np.array([x.var(ddof=1) / len(x) for x in samples])
    df = parts.sum() ** 2 / sum(part**2 / (len(x) - 1) for part, x in zip(parts, samples, strict=True))
    half = stats.t.ppf(0.975, df) * np.sqrt(parts.sum())
    return Joint(float(d.mean()), float(d.mean() - half), float(d.mean() + half))


def sign(low: float, high: float) -> int:
    """Of an effect by its interval; 0 where it is not told from 0."""
    return int(low > 0) - int(high < 0)


def sign_of_ours(values: np.ndarray) -> int:
    found = effect(values, np.random.default_rng(0))
    return sign(found.low, found.high)


def sign_of_second(values: np.ndarray) -> int:
    _, low, high = interval(values)
    return sign(low, high)


def planted(rng: np.random.Generator, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """Effects [4, 60] and [5, 60] of two implementations that differ by `apart`, on prompts that both share."""
    prompts = 0.8 * rng.normal(size=60)
    sides = [
        0.1 * rng.normal(size=(n, 1)) + 0.2 * rng.normal(size=60) + 0.7 * rng.normal(size=(n, 60))
        for n in (len(OURS), len(SECOND))
    ]
    return sides[0] + prompts + apart, sides[1] + prompts


def test_the_joint_interval_covers_a_planted_difference_and_tells_it_from_none():
    rng = np.random.default_rng(0)
    drawn = [joint(*planted(rng, 0.5)) for _ in range(1000)]
    covered = np.mean([j.low <= 0.5 <= j.high for j in drawn])
    assert 0.95 <= covered <= 0.995  # as its docstring says, and no interval that holds anything
    assert np.mean([j.holds_zero for j in drawn]) < 0.05


def test_the_joint_interval_by_hand():
    ours, second = np.array([[1.0, 3.0], [2.0, 4.0]]), np.array([[0.0, 1.0], [0.0, 1.0]])
    found = joint(ours, second)  # seeds' means 2, 3 and 0.5, 0.5; differences on prompts 1.5, 2.5
    half = stats.t.ppf(0.975, 2) * np.sqrt(0.5 / 2 + 0 + 0.5 / 2)
    np.testing.assert_allclose(found, [2.0, 2 - half, 2 + half])


def _with_networks(name: str, **more: object) -> Finding:
    """A shipped finding with those of its arms that are the study's network, cut to what is compared."""
    [found] = load_findings([name])
    arms = {arm: text for arm, text in found.arms.items() if text.startswith("head=mlp_study ")}
    assert len(arms) == 2
    return found.model_copy(update={"arms": arms, "at": {}, **more})


def _claim(statement: str, plus: dict, minus: dict) -> Claim:
    return Claim(statement=statement, plus=[plus], minus=[minus], smallest=0.05)


def _findings() -> list[Finding]:
    """The pairs and the losses of the shipped findings, and a design that is not the study's."""
    pairing = _with_networks("pairing")
    designs = pairing.model_copy(
        update={
            "conditions": {"equal n": pairing.conditions["equal n"]},
            "grid": [f"pairing.choice={','.join(DESIGNS)}", "pairing.across=false,true"],
            "claims": [
                _claim(
                    choice,
                    {"pairing.choice": choice, "pairing.across": True},
                    {"pairing.choice": choice, "pairing.across": False},
                )
                for choice in DESIGNS
            ],
        }
    )
    losses = _with_networks(
        "noise",
        grid=["noise.error=0.2", "comparisons.n=2000"],
        claims=[_claim("losses", {"arm": "CLF-MLP"}, {"arm": "BT-MLP"})],
    )
    wrong = pairing.model_copy(
        update={
            "name": "wrong",
            "fixed": ["noise=logistic", "noise.beta=1.0", "noise.error=null", "comparisons.n=500"],
            "conditions": {
                "across": "pairing=global_order pairing.choice=similar",
                "within": "pairing=same_prompt",
            },
            "grid": [],
            "claims": [_claim("neighbours of all", {"condition": "across"}, {"condition": "within"})],
        }
    )
    return [designs, losses, wrong]


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> dict[str, np.ndarray]:
    """Statement -> effects [seeds, prompts] of rmlab's arms, out of one sweep of all cells."""
    data = [f"set.{axis}={name}" for axis, name in SETUP.items()]
    overrides = [
        "experiment=embedding_set",
        f"input={SET}",
        "evaluation.resamples=50",
        *data,
        f"seed=range(0,{len(OURS)})",
    ]
    findings = _findings()
    study = plan_study(findings, [*overrides, f"out={tmp_path_factory.mktemp('second')}"], workers=1)
    sweep = run_nodes(in_order(study.inputs["sweep"]), "test", quiet=True)[-1].artifact
    assert sweep is not None
    values = CellValues(sweep.read("results").to_pandas(), sweep.read("cell_prompts").to_pandas())
    found = {}
    for finding in findings:
        members = [Member(**m) for m in study.config["findings"][finding.name]["members"]]
        found |= {claim.statement: contrast(claim, members, values)[0] for claim in finding.claims}
    return found


@pytest.fixture(scope="module")
def second() -> dict[str, np.ndarray]:
    """Statement -> effects [seeds, prompts] of the second implementation."""
    names = {choice: f"across_minus_within_{choice}_equal" for choice in DESIGNS} | {"losses": "clf_minus_bt"}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {
            name: effect_of_second(
                **SETUP, contrast=asked, seeds=SECOND, folder=user_path(SET), error=0.2, n=2000
            )
            for name, asked in names.items()
        }
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*DESIGNS, "losses"])
def test_both_implementations_agree_on_the_size(ours, second, name):
    assert ours[name].shape == (len(OURS), 60) and second[name].shape == (len(SECOND), 60)
    apart = joint(ours[name], second[name])
    assert apart.holds_zero, apart


@pytest.mark.slow
@pytest.mark.parametrize(("choice", "expected"), DESIGNS.items())
def test_both_implementations_tell_the_designs_apart_and_agree_on_the_sign(ours, second, choice, expected):
    assert sign_of_ours(ours[choice]) == sign_of_second(second[choice]) == expected


@pytest.mark.slow
def test_the_implementations_do_not_tell_opposite_signs_of_the_losses(ours, second):
    assert sign_of_ours(ours["losses"]) * sign_of_second(second["losses"]) >= 0


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["neighbours of all", "diverse"])
def test_another_design_is_told_from_that_of_the_study(ours, second, wrong):
    """Neighbours in the golden order of all responses are no similar sets, and neither are extremes."""
    assert not joint(ours[wrong], second["similar"]).holds_zero
