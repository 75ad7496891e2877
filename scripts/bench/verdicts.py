"""How often does the study's rule err? Null and planted effects through the whole machine of verdicts.

    python scripts/bench/verdicts.py [--studies N] [--quick] [--write PAGE]

Each simulated study has cells of the sizes of ours (seeds, prompts, and one or eight set-ups), whose values
on prompts are a true effect plus random effects of set-up, seed, prompt and all that they do together, and
46 claims, two of which share a side. It goes through the code that judges a real study. Coverage is that of
every kind of interval. --write puts the tables into PAGE, between its markers.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rmlab.metrics.intervals import interval
from rmlab.study.claims import JudgedClaim, judge_claims
from rmlab.study.effects import effect
from rmlab.study.finding import Finding
from rmlab.study.plan import Member
from rmlab.study.values import CellValues
from rmlab.study.verdict import VERDICTS

BEGIN, END = "<!-- verdicts:begin -->", "<!-- verdicts:end -->"
N_CLAIMS, N_SEEDS, N_PROMPTS, N_SETUPS = 46, 5, 60, 8
SMALLEST = 0.05
# Deviations of the random effects of an arm, in deviations of golden, on one set-up and on several. Two arms
# then differ with about the mean squares of heads in best_of_n on the shipped set, and with their standard
# error: 0.07 on one set-up, 0.04 on eight.
RANDOM = {"s": 0.06, "p": 0.11, "sp": 0.66}
OF_SETUPS = {"u": 0.06, "s": 0.02, "p": 0.04, "us": 0.06, "up": 0.12, "sp": 0.05, "usp": 0.7}
ERRORS = ("0.05", "0.1", "0.2", "0.3", "0.38")
LEVELS = {"A": (0.9, -0.6), "B": (1.0, -1.2)}  # best-of-N without errors, and what a unit of them adds
RESAMPLES = 500


def arms_of(
    rng: np.random.Generator, truths: Sequence[float], n_setups: int, in_parts: bool = False
) -> np.ndarray:
    """[A, U, S, P]: best of N of every arm, in deviations; in_parts: see `of_parts`."""
    sizes = {"u": n_setups, "s": N_SEEDS, "p": N_PROMPTS}
    random = RANDOM | (OF_SETUPS if n_setups > 1 else {})
    values = np.asarray(truths, dtype=float)[:, None, None, None] + rng.normal(size=N_PROMPTS)
    for factors, deviation in random.items():
        shape = [n if factor in factors else 1 for factor, n in sizes.items()]
        own = rng.normal(size=(len(truths), *shape))
        if factors == "u" and in_parts:
            own = of_parts(rng, len(truths))[:, :, None, None]
        values = values + deviation * own
    return values


def of_parts(rng: np.random.Generator, n: int) -> np.ndarray:
    """[n, 8]: effects of variance 1 of set-ups of 2 policies, 2 rewards and 2 embeddings, each the sum of one
    effect of each part, which four of the set-ups share."""
    policies, rewards, embedders = rng.normal(size=(3, n, 2)) / np.sqrt(3)
    total = policies[:, :, None, None] + rewards[:, None, :, None] + embedders[:, None, None, :]
    return total.reshape(n, 8)


def as_sweep(values: np.ndarray, axes: Sequence[dict[str, str]]) -> tuple[CellValues, list[Member]]:
    """The tables of a sweep with these values, and the cells of its finding."""
    members, results = [], []
    for (a, own), u, s in itertools.product(enumerate(axes), range(values.shape[1]), range(values.shape[2])):
        cell = f"{a:03d}-{u}-{s}"
        members.append(Member({**own, "seed": str(s)}, cell, "x", f"set-up {u}"))
        results.append({"cell": cell, "kind": "head", "reason": None, "error_rate": 0.2})
    units = {"test_golden_mean": 0.0, "test_golden_deviation": 1.0, "test_largest_n": 100.0}
    prompts = pd.DataFrame(
        {
            "cell": np.repeat([m.cell for m in members], values.shape[3]),
            "prompt_id": np.tile([f"p{i:03d}" for i in range(values.shape[3])], len(members)),
            "best_of_largest": values.ravel(),
        }
    )
    return CellValues(pd.DataFrame(results).assign(**units), prompts), members


def study(claims: Sequence[dict[str, Any]], arms: Sequence[str]) -> Finding:
    words = dict.fromkeys(("title", "question", "claim", "source"), "simulated")
    named = dict.fromkeys(arms, "head=linear")
    return Finding.model_validate({"name": "simulated", **words, "arms": named, "claims": claims})


def judged_study(
    rng: np.random.Generator,
    truths: Sequence[float],
    kinds: Sequence[str],
    n_setups: int,
    in_parts: bool = False,
) -> list[JudgedClaim]:
    """A claim for each truth, of one arm against another that it shares with its neighbour."""
    n = len(truths)
    arms = [f"plus{i}" for i in range(n)] + [f"minus{i}" for i in range((n + 1) // 2)]
    values = arms_of(rng, [*truths, *[0.0] * ((n + 1) // 2)], n_setups, in_parts)
    sweep, members = as_sweep(values, [{"arm": arm} for arm in arms])
    claims = [
        {"statement": f"claim {i}", "plus": [{"arm": f"plus{i}"}], "minus": [{"arm": f"minus{i // 2}"}],
         "kind": kind, "smallest": SMALLEST}
        for i, kind in enumerate(kinds)
    ]  # fmt: skip
    return judge_claims({"simulated": members}, [study(claims, arms)], sweep, RESAMPLES)


def is_false(judged: JudgedClaim, truth: float) -> bool:
    """Whether the word says what is not so."""
    bound = -SMALLEST if judged.claim.kind == "not_less" else 0.0
    wrong = {
        "supported": truth <= bound,
        "contradicted": truth >= bound,
        "negligible": abs(truth) >= SMALLEST,
    }
    return wrong.get(judged.verdict, False)


def error_rates(rng: np.random.Generator, n_studies: int, n_setups: int) -> list[str]:
    """Rows of the first table: studies of nothing but null claims, and of a mixture."""
    size = f"{n_setups} × {N_SEEDS} × {N_PROMPTS}"
    mixed = [0.0, SMALLEST, 0.2, -0.2] * (N_CLAIMS // 4 + 1)
    null = [0.0] * N_CLAIMS
    cases = [("all null", null, False), ("a quarter null", mixed[:N_CLAIMS], False)]
    if n_setups == N_SETUPS:
        cases.append(("all null, of parts that set-ups share", null, True))
    rows = []
    for name, truths, in_parts in cases:
        any_false = any_starred = any_supported = 0
        for _ in range(n_studies):
            found = judged_study(rng, truths, ["greater"] * N_CLAIMS, n_setups, in_parts)
            wrong = [j for j, truth in zip(found, truths, strict=True) if is_false(j, truth)]
            any_supported += any(j.verdict == "supported" for j in wrong)
            any_false += bool(wrong)
            any_starred += any(j.survives for j in wrong)
        shares = (f"{100 * k / n_studies:.0f} %" for k in (any_supported, any_false, any_starred))
        rows.append(f"| {size} | {name} | {n_studies} | {' | '.join(shares)} |")
    return rows


def words(rng: np.random.Generator, n_studies: int, n_setups: int) -> list[str]:
    """Rows of the second table: shares of the words by true effect, and of those with a star."""
    kinds = [("greater", t) for t in (0.0, 0.02, 0.1, 0.2, 0.4, -0.2)]
    kinds += [("not_less", t) for t in (0.0, -0.1, -0.3)]
    plan = list(itertools.islice(itertools.cycle(kinds), N_CLAIMS))
    found: dict[tuple[str, float], list[JudgedClaim]] = {}
    for _ in range(n_studies):
        judged = judged_study(rng, [t for _, t in plan], [k for k, _ in plan], n_setups)
        for key, j in zip(plan, judged, strict=True):
            found.setdefault(key, []).append(j)
    rows = []
    for kind, truth in kinds:
        of = found[kind, truth]
        alone = Counter(j.verdict for j in of)
        starred = Counter(j.verdict for j in of if j.survives)
        cells = [f"{_share(alone[w], len(of))} ({_share(starred[w], len(of))} ★)" for w in VERDICTS[:3]]
        cells.append(_share(alone["undecided"], len(of)))
        claim = "better" if kind == "greater" else "no worse"
        rows.append(f"| {n_setups} | {claim} | {truth:+.2f} | {' | '.join(cells)} |")
    return rows


def coverage(rng: np.random.Generator, n_studies: int, n_setups: int) -> list[str]:
    """Rows of the third table: how often each interval of the study holds the truth."""
    side = {"plus": [{"arm": "A"}], "minus": [{"arm": "B"}], "smallest": SMALLEST}
    at = {e: {arm: [{"arm": arm, "noise.error": e}] for arm in LEVELS} for e in (ERRORS[0], ERRORS[-1])}
    first, last = at[ERRORS[0]], at[ERRORS[-1]]
    share = {"plus": last["A"], "plus_of": first["A"], "minus": last["B"], "minus_of": first["B"]}
    claims = [
        {"statement": "difference", "plus": last["A"], "minus": last["B"], "smallest": SMALLEST},
        {"statement": "slope along an axis", "along": "noise.error", **side},
        {"statement": "height of that line", "along": "noise.error", "height_at": 0.15, **side},
        {"statement": "difference of shares", "smallest": SMALLEST, **share},
    ]
    axes = [{"arm": arm, "noise.error": error} for arm in LEVELS for error in ERRORS]
    truths = [LEVELS[a["arm"]][0] + LEVELS[a["arm"]][1] * float(a["noise.error"]) for a in axes]
    level = dict(zip(((a["arm"], a["noise.error"]) for a in axes), truths, strict=True))
    kept = {arm: level[arm, ERRORS[-1]] / level[arm, ERRORS[0]] for arm in LEVELS}
    gap, slope = (a - b for a, b in zip(LEVELS["A"], LEVELS["B"], strict=True))
    true = [gap + slope * 0.38, slope, gap + slope * 0.15, kept["A"] - kept["B"]]
    inside: Counter[str] = Counter()
    for _ in range(n_studies):
        values, members = as_sweep(centred_arms(rng, truths, n_setups), axes)
        found = judge_claims({"simulated": members}, [study(claims, list(LEVELS))], values, RESAMPLES)
        for j, truth in zip(found, true, strict=True):
            if j.effect is not None:
                inside[j.claim.statement] += j.effect.low <= truth <= j.effect.high
        crosses = found[1].crossing
        if crosses is not None:
            inside["crossing of that line"] += crosses.low <= -gap / slope <= crosses.high
    return [
        f"| {name} | {n_setups} × {N_SEEDS} × {N_PROMPTS} | {n_studies} | {100 * k / n_studies:.1f} % |"
        for name, k in inside.items()
    ]


def setup_coverage(rng: np.random.Generator, n: int) -> list[str]:
    """Of the interval over eight set-ups that share parts: how often it holds the mean over other policies,
    rewards and embeddings, and the mean over these eight. By the deviation of a difference over set-ups."""
    sizes, random = {"u": N_SETUPS, "s": N_SEEDS, "p": N_PROMPTS}, OF_SETUPS | {"u": 0.0}
    rows = []
    for deviation in (0.05, 0.1, 0.2):
        other = same = 0
        for _ in range(n):
            of_setups = deviation * of_parts(rng, 1)[0]
            values = np.tile(of_setups[:, None, None], (1, N_SEEDS, N_PROMPTS))
            for factors, of in random.items():
                shape = [size if factor in factors else 1 for factor, size in sizes.items()]
                values = values + np.sqrt(2) * of * rng.normal(size=shape)
            found = effect(values, rng, RESAMPLES)
            other += found.low <= 0 <= found.high
            same += found.low <= of_setups.mean() <= found.high
        for of, inside in (("other parts", other), ("these eight", same)):
            name = f"difference, set-ups of shared parts that deviate by {deviation}: mean of {of}"
            rows.append(f"| {name} | 8 × {N_SEEDS} × {N_PROMPTS} | {n} | {100 * inside / n:.1f} % |")
    return rows


def centred_arms(rng: np.random.Generator, truths: Sequence[float], n_setups: int) -> np.ndarray:
    """As arms_of, with prompts that differ less in common, as a share of a mean near 0 is no share."""
    values = arms_of(rng, truths, n_setups)
    common = values.mean(axis=(0, 1, 2)) - np.mean(truths)
    return values - 0.8 * common


def prompt_coverage(rng: np.random.Generator, n: int) -> list[str]:
    """Of the intervals over prompts that rmlab eval-rm prints, on skewed values (a gamma of shape 2)."""
    rows = []
    for n_prompts in (10, 22, 60):
        ends = [interval(rng.gamma(2.0, size=n_prompts), rng, 1000)[1:] for _ in range(n)]
        inside = np.mean([low <= 2.0 <= high for low, high in ends])
        rows.append(
            f"| mean over prompts, skewed (eval-rm) | {n_prompts} prompts | {n} | {100 * inside:.1f} % |"
        )
    return rows


def _share(k: int, n: int) -> str:
    return f"{100 * k / n:.0f} %" if n else "–"


def report(n_studies: int, seed: int) -> str:
    rng, few = np.random.default_rng(seed), max(2, n_studies // 4)
    sizes = ((1, n_studies), (N_SETUPS, few))
    parts = [
        "Studies of 46 claims that something is better; set-ups × seeds × prompts:",
        _table(
            "set-ups × seeds × prompts | truth | studies | some false *supported* | some false word | "
            "some false word with ★",
            [row for n_setups, n in sizes for row in error_rates(rng, n, n_setups)],
        ),
        f"Words by the true effect, in deviations (smallest effect {SMALLEST}); in brackets with a star:",
        _table(
            "set-ups | claim | truth | supported | contradicted | negligible | undecided",
            [row for n_setups, n in sizes for row in words(rng, n, n_setups)],
        ),
        "Coverage of 95% intervals:",
        _table(
            "interval | size | simulations | holds the truth",
            [row for n_setups, n in sizes for row in coverage(rng, 4 * n, n_setups)]
            + setup_coverage(rng, 5 * n_studies)
            + prompt_coverage(rng, 10 * n_studies),
        ),
    ]
    return "\n\n".join(parts)


def _table(head: str, rows: Sequence[str]) -> str:
    return "\n".join([f"| {head} |", "|" + "---|" * (head.count("|") + 1), *rows])


def written(page: str, text: str) -> str:
    """The page with the text between its markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no block between {BEGIN} and {END}; add the two markers")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=200, help="of one set-up; of eight, a quarter")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a few studies: does it run?")
    parser.add_argument("--write", type=Path, help="a page with the two markers")
    args = parser.parse_args(arguments)
    started = time.perf_counter()
    text = report(2 if args.quick else args.studies, args.seed)
    print(text)
    print(f"\n{time.perf_counter() - started:,.0f} s", file=sys.stderr)
    if args.write:
        args.write.write_text(written(args.write.read_text(encoding="utf-8"), text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
