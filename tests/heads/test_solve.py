"""The solver of linear heads: few iterations on ill-conditioned problems, to the optimum others find."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import OptimizeResult, minimize, minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from rmlab.comparisons import Comparisons
from rmlab.config.components import build
from rmlab.config.hydra import compose
from rmlab.heads.base import FitData
from rmlab.heads.design import Design, is_shift_invariant, make_design
from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.linear import ROUNDING, Linear
from rmlab.heads.solve import Iterate, LinearProblem, Solution, _line_search, objective, solve
from rmlab.losses.base import Centred
from rmlab.losses.lists import Choice, PlackettLuce, UnpairedLoss
from rmlab.losses.pairs import BradleyTerry, Classification, Hinge
from rmlab.losses.robust import RobustBtl

BT = BradleyTerry()
SHIPPED = sorted(path.stem for path in (Path(__file__).parents[2] / "conf" / "loss").glob("*.yaml"))


def answered(x: np.ndarray, n: int, k: int = 2, seed: int = 0) -> Comparisons:
    """Plackett-Luce rankings by a linear reward of standard deviation 2, best first, no row twice."""
    rng = np.random.default_rng(seed)
    utility = x @ rng.normal(size=x.shape[1])
    utility = 2 * utility / utility.std() + rng.gumbel(size=len(x))
    items = rng.permutation(len(x))[: n * k].reshape(n, k)
    order = np.argsort(-utility[items], axis=1)
    items = np.take_along_axis(items, order, axis=1)
    return Comparisons(items=items, group=np.zeros(n, dtype=np.int64), kind="pair" if k == 2 else "list")


def ill_conditioned(n: int = 600, d: int = 200, decades: float = 2.5) -> tuple[np.ndarray, Comparisons]:
    """Embeddings whose directions differ in scale by `decades` powers of ten, no direction an axis."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    x = (rng.normal(size=(2 * n, d)) * np.logspace(0.5, 0.5 - decades, d)) @ turn
    return x.astype(np.float32), answered(x, n)


def design_of(x: np.ndarray, comparisons: Comparisons, shifts: bool = True) -> Design:
    return make_design(x, comparisons, Standardiser.identity(x.shape[1]), shifts)


def solved(design: Design, l2: float, loss=BT, tolerance: float = 1e-6, most: int = 500) -> Solution:
    start = torch.zeros(design.x.shape[1], dtype=torch.float64)
    return solve(start, LinearProblem(design, loss, penalty_of(design, l2)), l2, tolerance, most)


def penalty_of(design: Design, l2: float) -> torch.Tensor:
    penalty = torch.full((design.x.shape[1],), l2, dtype=torch.float64)
    if design.has_intercept:
        penalty[-1] = 0.0
    return penalty


def plain_iterations(design: Design, l2: float, most: int) -> int:
    """Of L-BFGS on the weights themselves, up to the same gradient."""
    at = [np.inf]

    def by_w(w: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = objective(torch.from_numpy(w), LinearProblem(design, BT, penalty_of(design, l2)))
        at[0] = float(gradient.abs().max())
        return value, gradient.numpy()

    def stop(intermediate_result: OptimizeResult) -> None:
        if at[0] <= 1e-6:
            raise StopIteration

    options = {"gtol": 0.0, "ftol": 0.0, "maxiter": most, "maxcor": 20}
    start = np.zeros(design.x.shape[1])
    return int(minimize(by_w, start, jac=True, method="L-BFGS-B", callback=stop, options=options).nit)


@pytest.mark.parametrize("l2", [10.0, 1.0, 0.1, 1e-2, 1e-3, 1e-4])
def test_few_iterations_whatever_the_penalty(l2):
    design = design_of(*ill_conditioned())
    found = solved(design, l2)
    gradient = objective(found.parameters, LinearProblem(design, BT, penalty_of(design, l2)))[1]
    assert found.gradient <= 1e-6
    assert found.gradient == pytest.approx(float(gradient.abs().max()), rel=1e-6)
    assert found.iterations <= 40


@pytest.mark.parametrize("l2", [1e-2, 1e-3, 1e-4])
def test_the_weights_themselves_need_many_times_more(l2):
    design = design_of(*ill_conditioned())
    ours = solved(design, l2).iterations
    assert plain_iterations(design, l2, 5 * ours) >= 5 * ours


@pytest.mark.parametrize("l2", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("weighs", [False, True])
def test_equals_logistic_regression_of_differences(l2, weighs):
    x, comparisons = ill_conditioned(300, 20, 1.0)
    weight = np.random.default_rng(5).uniform(0.1, 3, 300) if weighs else np.ones(300)
    found = solved(design_of(x, replace(comparisons, weight=weight)), l2, tolerance=1e-9)
    z = x[comparisons.items[:, 0]].astype(np.float64) - x[comparisons.items[:, 1]]
    sign = np.where(np.arange(300) % 2, 1, -1)  # scikit-learn wants both classes
    oracle = LogisticRegression(C=1 / (l2 * weight.sum()), fit_intercept=False, tol=1e-12, max_iter=20_000)
    oracle.fit(z * sign[:, None], sign, sample_weight=weight)
    size = np.abs(oracle.coef_).max()
    np.testing.assert_allclose(found.parameters, oracle.coef_[0], atol=1e-4 * size)


def test_more_features_than_comparisons():
    """The optimum lies in the span of the differences, where scikit-learn finds it too."""
    x, comparisons = ill_conditioned(40, 200, 1.0)
    found = solved(design_of(x, comparisons), 1e-2, tolerance=1e-9)
    z = x[comparisons.items[:, 0]].astype(np.float64) - x[comparisons.items[:, 1]]
    sign = np.where(np.arange(40) % 2, 1, -1)
    oracle = LogisticRegression(C=1 / (1e-2 * 40), fit_intercept=False, tol=1e-12, max_iter=20_000)
    oracle.fit(z * sign[:, None], sign)
    assert found.gradient <= 1e-9 and found.iterations <= 120
    np.testing.assert_allclose(found.parameters, oracle.coef_[0], atol=1e-5)


def test_no_penalty_and_features_that_repeat():
    """A singular Gram matrix: the scores are those of the features without their copies."""
    x, comparisons = ill_conditioned(400, 5, 0.3)
    doubled = np.hstack([x, x[:, :2], np.zeros((len(x), 1), dtype=np.float32)])
    found, plain = (solved(design_of(e, comparisons), 0.0, tolerance=1e-8) for e in (doubled, x))
    assert found.gradient <= 1e-8 and plain.gradient <= 1e-8
    np.testing.assert_allclose(doubled @ found.parameters.numpy(), x @ plain.parameters.numpy(), atol=1e-4)


def test_rankings_equal_a_general_optimiser():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(400, 4)).astype(np.float32)
    comparisons = answered(x, 100, k=4)
    found = solved(design_of(x, comparisons), 0.05, PlackettLuce(), 1e-9)

    def by_hand(w: np.ndarray) -> float:
        s = (x.astype(np.float64) @ w)[comparisons.items]
        places = [np.log(np.exp(s[:, k:]).sum(axis=1)) - s[:, k] for k in range(3)]
        return float(np.sum(places, axis=0).mean() + 0.025 * w @ w)

    oracle = minimize(by_hand, np.zeros(4), method="BFGS", options={"gtol": 1e-7})
    np.testing.assert_allclose(found.parameters, oracle.x, atol=1e-5)


def test_the_intercept_is_free():
    """Under a penalty that leaves the weights nothing, the intercept alone gives the share of good ones."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(500, 3)).astype(np.float32)
    share = (np.arange(500) < 400).astype(float)
    comparisons = Comparisons(np.arange(500)[:, None], np.zeros(500, dtype=np.int64), "unpaired", share=share)
    found = solved(design_of(x, comparisons, shifts=False), 1e6, UnpairedLoss(), 1e-9)
    assert float(found.parameters[-1]) == pytest.approx(np.log(4), abs=1e-5)
    assert float(found.parameters[:-1].abs().max()) < 1e-5
    head, _ = Linear(l2=1e6).fit(FitData(x, comparisons, comparisons.take(np.arange(0))), UnpairedLoss(), 0)
    assert head.intercept == pytest.approx(np.log(4), abs=1e-4)


@pytest.mark.parametrize("l2", [0.5, 0.05, 0.005])
@pytest.mark.parametrize("margin", [1.0, 4.0])
def test_a_loss_with_kinks_ends_at_its_optimum(linear_world, l2, margin):
    """The dual problem, a box-constrained quadratic, bounds what is left to gain."""
    train = linear_world.data.train
    head, log = Linear(l2=l2, standardise=False).fit(linear_world.data, Hinge(margin), 0)
    assert log.converged and log.said == ""
    z = np.subtract(*(linear_world.data.x[train.items[:, k]].astype(np.float64) for k in (0, 1)))
    reached = np.maximum(0, margin - z @ head.weight).mean() + l2 / 2 * head.weight @ head.weight

    def dual(a: np.ndarray) -> tuple[float, np.ndarray]:
        w = a @ z / l2
        return l2 / 2 * w @ w - margin * a.sum(), z @ w - margin

    n = len(z)
    options = {"maxiter": 20_000, "maxfun": 100_000, "ftol": 1e-15, "gtol": 1e-10}
    bound = -minimize(dual, np.zeros(n), jac=True, bounds=[(0, 1 / n)] * n, options=options).fun
    assert bound - 1e-9 <= reached <= bound + margin * ROUNDING / 8


@pytest.mark.parametrize("l2", [1.0, 0.1, 0.01])
def test_hinge_equals_a_support_vector_machine_of_differences(l2):
    x, comparisons = ill_conditioned(400, 40, 1.0)
    head, log = Linear(l2=l2, standardise=False).fit(
        FitData(x, comparisons, comparisons.take(np.arange(0))), Hinge(), 0
    )
    z = x[comparisons.items[:, 0]].astype(np.float64) - x[comparisons.items[:, 1]]
    sign = np.where(np.arange(400) % 2, 1, -1)  # scikit-learn wants both classes
    oracle = LinearSVC(C=1 / (l2 * 400), loss="hinge", fit_intercept=False, tol=1e-8, max_iter=1_000_000)
    oracle.fit(z * sign[:, None], sign)
    assert log.converged
    np.testing.assert_allclose(head.weight, oracle.coef_[0], atol=0.01 * np.abs(oracle.coef_).max())


@pytest.mark.parametrize("loss", [Hinge(), RobustBtl(), BT])
@pytest.mark.parametrize("start", [0.0, 3.0, -1.0])
def test_a_line_search_returns_a_step_and_the_gradient_that_belongs_to_it(loss, start):
    """Hinge as it is: its slope jumps over 0 at a kink, so that no step is flat enough."""
    design = design_of(*ill_conditioned(300, 20, 1.0))
    problem = LinearProblem(design, loss, penalty_of(design, 0.1))
    rng = torch.Generator().manual_seed(1)
    for _ in range(20):
        w = start * torch.randn(design.x.shape[1], generator=rng, dtype=torch.float64)
        values = design.values(w)
        here = Iterate(values, *problem.by_values(values))
        gradient = problem.gradient(w, here.by_value)
        direction = -gradient * 10 ** (4 * torch.rand(1, generator=rng, dtype=torch.float64).item() - 2)
        along = design.values(direction)
        trial = _line_search(problem, w, direction, along, here, float(gradient @ direction))
        end = problem.by_values(values + trial.t * along)
        assert trial.t > 0 and trial.loss == end[0]
        torch.testing.assert_close(trial.by_value, end[1], rtol=0, atol=0)
        reached = objective(w + trial.t * direction, problem)[0]
        lowest = minimize_scalar(
            lambda t: objective(w + t * direction, problem)[0],  # noqa: B023
            bounds=(0, 3 * trial.t),
            method="bounded",
            options={"xatol": 1e-9 * trial.t},
        )
        before = objective(w, problem)[0]
        assert before - reached >= 0.9 * (before - lowest.fun)


def test_without_a_way_down_the_step_is_none():
    design = design_of(*ill_conditioned(100, 5, 1.0))
    problem = LinearProblem(design, BT, penalty_of(design, 0.1))
    w = solved(design, 0.1, tolerance=1e-10).parameters
    values = design.values(w)
    here = Iterate(values, *problem.by_values(values))
    up = torch.ones_like(w)
    trial = _line_search(problem, w, up, design.values(up), here, 1e-12)
    assert trial.t == 0 and trial.loss == here.loss


@pytest.mark.parametrize("l2", [1e-1, 1e-3])
def test_the_second_derivatives_are_those_of_the_logistic_loss(l2):
    design = design_of(*ill_conditioned(50, 4, 0.3))
    values = torch.linspace(-4, 4, 50, dtype=torch.float64)
    p = torch.sigmoid(values)
    torch.testing.assert_close(
        LinearProblem(design, BT, penalty_of(design, l2)).curvature(values), p * (1 - p) / 50
    )


def test_iterations_have_an_end():
    design = design_of(*ill_conditioned())
    found = solved(design, 1e-4, most=2)
    assert found.iterations == 2 and found.gradient > 1e-6


def test_the_start_changes_the_way_but_not_the_end():
    design = design_of(*ill_conditioned(300, 50, 1.5))
    cold = solved(design, 1e-3, tolerance=1e-8)
    warm = solve(cold.parameters * 1.01, LinearProblem(design, BT, penalty_of(design, 1e-3)), 1e-3, 1e-8, 500)
    np.testing.assert_allclose(warm.parameters, cold.parameters, atol=1e-4)
    assert warm.iterations < cold.iterations


SHIFTED = {"classification", "regression", "unpaired", "distributional"}


def shipped(name: str):
    return build(compose([f"loss={name}"])["loss"], where="loss")


def some(name: str) -> Comparisons:
    k, kind = (1, "unpaired") if name == "unpaired" else (2, "pair")
    rng = np.random.default_rng(8)
    items = rng.permutation(40)[: 20 * k].reshape(20, k)
    known = {
        "golden": rng.normal(size=(20, k)),
        "margin": rng.uniform(size=20),
        "share": rng.uniform(size=20),
    }
    return Comparisons(items=items, group=np.zeros(20, dtype=np.int64), kind=kind, **known)


@pytest.mark.parametrize("name", SHIPPED)
def test_which_losses_a_shift_of_the_scores_changes(name):
    """By the values: each comparison's scores are moved by an amount of its own."""
    loss, comparisons = shipped(name), some(name)
    rng = torch.Generator().manual_seed(1)
    scores = torch.randn(comparisons.items.shape, generator=rng, dtype=torch.float64)
    moved = scores + 3 * torch.randn(len(scores), 1, generator=rng, dtype=torch.float64)
    same = torch.allclose(loss(scores, comparisons), loss(moved, comparisons), rtol=1e-9)
    assert is_shift_invariant(loss, comparisons) == same == (name not in SHIFTED)
    assert not is_shift_invariant(Centred(loss, 0.01), comparisons)


@pytest.mark.parametrize(("loss", "k"), [(PlackettLuce(), 4), (Choice(), 3), (Classification(), 2), (BT, 2)])
def test_lists_too(loss, k):
    x = np.random.default_rng(9).normal(size=(80, 3))
    assert is_shift_invariant(loss, answered(x, 20, k)) == (not isinstance(loss, Classification))
