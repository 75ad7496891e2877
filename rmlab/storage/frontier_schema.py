"""The tables of the stage frontier: policies that need no training, and how far rewards promise too much."""

from __future__ import annotations

import pyarrow as pa

from rmlab.storage.schemas import ARM
from rmlab.storage.table_schema import Column, Table, ends, flag, number, text, whole

_KIND = text("kind", "head, or golden for a golden reward that is the reward of the policy")
_METHOD = text("method", "best_of_n, soft_best_of_n, or tilt, the policy in proportion to e^(r / beta)")
_REFERENCE = text(
    "reference",
    "exact: samples at temperature 1 and top-p 1, which are the policy itself; truncated: others, from which "
    "KL is that from the truncated policy; unknown: imported without a record of their sampling",
)

FRONTIER = Table(
    "frontier",
    "frontier",
    "frontier.parquet",
    ("arm", "kind", "method", "n", "beta", "is_half"),
    "Golden reward over KL from the reference, for policies made of the cached test samples by a reward.",
    (
        ARM,
        _KIND,
        _METHOD,
        Column("n", pa.int32(), "N of best_of_n and soft_best_of_n; 0 for a tilt"),
        number("beta", "beta of tilt and soft_best_of_n, in deviations of the reward; 0 for best_of_n"),
        Column("k", pa.int32(), "samples of a prompt that were used (K), the least over prompts"),
        flag("is_half", "true: the mean over two halves of the samples, to see what more samples change"),
        number("kl", "KL from the reference in nats, of the policy on the samples, mean over prompts"),
        *ends("the 95% bootstrap interval over prompts", name="kl_"),
        number("kl_bound", "log n - (n - 1) / n, an upper bound, for best_of_n; log K for others"),
        number("golden", "expected golden reward, in its own unit, mean over prompts"),
        *ends("the 95% bootstrap interval over prompts", name="golden_"),
        number("proxy", "expected reward of the policy's own kind, in deviations of its reference samples"),
        *ends("the 95% bootstrap interval over prompts", name="proxy_"),
        number("golden_gain", "golden less that of the reference, in deviations of reference samples"),
        *ends("the paired 95% bootstrap interval over prompts", name="golden_gain_"),
        number("proxy_gain", "proxy less that of the reference: what the reward promises"),
        *ends("the paired 95% bootstrap interval over prompts", name="proxy_gain_"),
        number(
            "golden_deviation",
            "deviation of golden rewards over reference samples; 0 if they are all equal: no golden_gain",
        ),
        number("effective_size", "1 / sum of w^2, the samples of a prompt that carry it, mean over prompts"),
        number("share_below_10", "share of prompts on which fewer than 10 samples carry it"),
        flag("is_trusted", "true where 10 samples or more carry it on average"),
        whole("n_prompts", "prompts with enough samples"),
        whole("n_constant", "prompts to whose samples the reward gives one value, which it cannot tilt"),
        _REFERENCE,
    ),
)

OVEROPTIMISATION = Table(
    "overoptimisation",
    "frontier",
    "overoptimisation.parquet",
    ("arm", "kind", "method"),
    "How far a reward's own promise lies from the golden reward, over the trusted part of its curve.",
    (
        ARM,
        _KIND,
        _METHOD,
        number(
            "gamma",
            "integral of |golden - proxy| over that of golden, along KL, both as gains in deviations; 0: the "
            "reward is as good as it says; NaN: no golden reward was gained, or fewer than two points",
        ),
        *ends("the 95% bootstrap interval over prompts"),
        number("kl", "the largest KL that it covers"),
        Column("n_points", pa.int32(), "points of the curve, the reference among them"),
        _REFERENCE,
    ),
)

FRONTIER_TABLES = (FRONTIER, OVEROPTIMISATION)
