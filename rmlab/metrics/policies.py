"""Policies that a reward makes of K cached samples without training: the tilt, best-of-N and soft best-of-N.

Each is a probability for every sample of a prompt. The K samples stand for the policy that they were drawn
from, 1/K each, so that KL and effective sample size follow from the probabilities alone. A tilt can move no
further than log K, and what it estimates is biased low where few samples carry it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax, xlogy

from rmlab.errors import InputError

_STEP = 0.25  # between the points of the integral over log t; its error is about e^{-pi^2 / step}
_LEFT, _RIGHT = 40.0, 5.0  # how far the integral reaches beyond the weights, in log t
_CELLS = 2**22  # numbers in memory at once


def tilt(rewards: np.ndarray, beta: float) -> np.ndarray:
    """Returns the probabilities of the tilt, proportional to e^{r / beta}, [P, K]. rewards: [P, K].

    It is the policy that maximises E[r] - beta KL, among those on these samples.
    """
    _check_beta(beta)
    return np.asarray(softmax((rewards - rewards.max(axis=1, keepdims=True)) / beta, axis=1))


def best_of_n(rewards: np.ndarray, n: int) -> np.ndarray:
    """Returns the probability that each sample is the best of n drawn with replacement, [P, K].

    Samples of one reward share the probability F^n - G^n evenly, F and G the shares of samples with at most
    and with less than this reward. So ties lower the KL below log n - (n - 1) / n, and it never exceeds that.
    """
    k = rewards.shape[1]
    _check_n(n, k)
    order = np.argsort(rewards, axis=1, kind="stable")
    ranked = np.take_along_axis(rewards, order, axis=1)
    column = np.arange(k)
    begins = np.ones(ranked.shape, dtype=bool)
    begins[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    ends = np.ones(ranked.shape, dtype=bool)
    ends[:, :-1] = begins[:, 1:]
    below = np.maximum.accumulate(np.where(begins, column, 0), axis=1)
    upto = np.minimum.accumulate(np.where(ends, column + 1, k)[:, ::-1], axis=1)[:, ::-1]
    shared = ((upto / k) ** n - (below / k) ** n) / (upto - below)
    found = np.empty(rewards.shape)
    np.put_along_axis(found, order, shared, axis=1)
    return found


def soft_best_of_n(rewards: np.ndarray, beta: float, ns: Sequence[int]) -> np.ndarray:
    """Returns soft best-of-n: of n samples drawn with replacement, one is kept with a probability
    proportional to e^{r / beta} among them, [len(ns), P, K].

    With weights a the probability of sample i is (n / K) E[a_i / (a_i + n - 1 others)]. As 1/x is the
    integral of e^{-tx} over t > 0, this is the integral of (n / K) a_i e^{-t a_i} phi(t)^{n-1}, phi(t) the
    mean of e^{-t a} over the samples: an integral in one variable, which the trapezoidal rule over log t
    takes to rounding error.
    """
    _check_beta(beta)
    for n in ns:
        _check_n(n, rewards.shape[1])
    found = np.empty((len(ns), *rewards.shape))
    logs = (rewards - rewards.max(axis=1, keepdims=True)) / beta
    points = np.arange(-_LEFT, _RIGHT - float(logs.min()), _STEP)
    at_once = max(1, _CELLS // (len(points) * rewards.shape[1]))
    for start in range(0, len(rewards), at_once):
        rows = slice(start, start + at_once)
        found[:, rows] = _integral(logs[rows], points, ns)
    return found / found.sum(axis=2, keepdims=True)


def _integral(logs: np.ndarray, points: np.ndarray, ns: Sequence[int]) -> np.ndarray:
    """logs: [b, K] log-weights; points: [T] of log t -> [len(ns), b, K], up to a factor of each prompt."""
    product = np.exp(np.minimum(points[:, None, None] + logs, 50.0))  # t a, beyond which e^{-ta} is 0
    decay = np.exp(-product)
    integrand = product * decay
    phi = decay.mean(axis=2)
    powers = np.stack([n * phi ** (n - 1) for n in ns])
    return np.asarray(np.einsum("ntb,tbk->nbk", powers, integrand))


def kl_from_samples(policy: np.ndarray) -> np.ndarray:
    """Returns the KL of policies on K samples from the samples themselves, sum of w log(K w), [...].

    policy: [..., K].
    """
    return np.asarray(np.maximum(xlogy(policy, policy * policy.shape[-1]).sum(axis=-1), 0.0))


def effective_size(policy: np.ndarray) -> np.ndarray:
    """Returns 1 / sum of w^2, the number of samples that carry a policy. policy: [..., K]."""
    return np.asarray(1.0 / np.square(policy).sum(axis=-1))


def _check_beta(beta: float) -> None:
    if not (np.isfinite(beta) and beta > 0):
        raise InputError(f"beta={beta} tilts nothing: e^(r / beta) needs a beta above 0")


def _check_n(n: int, k: int) -> None:
    if not 1 <= n <= k:
        raise InputError(f"the best of {n} needs an N from 1 to the {k} responses of a prompt")
