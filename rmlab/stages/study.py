"""The stage study judges findings on the cells of a sweep, and writes verdicts, means and a report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from rmlab.errors import InputError
from rmlab.pipeline.job import Job
from rmlab.storage.artifact import Artifact
from rmlab.storage.files import write_text
from rmlab.storage.study_schema import FINDINGS, FINDINGS_BY_SETUP, STUDY_MEANS
from rmlab.study.claims import ROUGH, JudgedClaim, Mean, counts, judge_claims, means
from rmlab.study.effects import Effect, effect
from rmlab.study.finding import Finding
from rmlab.study.page import render, write_pictures
from rmlab.study.plan import Member, Setup
from rmlab.study.report_content import Part, StudyContent, about
from rmlab.study.values import EXPECTED, CellValues, NotThere

FILE = "report.html"


def run(job: Job) -> None:
    sweep = job.inputs["sweep"]
    values = CellValues(sweep.read("results").to_pandas(), sweep.read("cell_prompts").to_pandas())
    described = job.config["findings"].values()
    findings = [Finding.model_validate(d["finding"]) for d in described]
    members = {f.name: [Member(**m) for m in d["members"]] for f, d in zip(findings, described, strict=True)}
    judged = judge_claims(members, findings, values)
    parts = [_part(f, members[f.name], judged, values) for f in findings]
    job.writer.table(FINDINGS, _finding_rows(judged))
    job.writer.table(FINDINGS_BY_SETUP, _setup_rows(judged))
    job.writer.table(STUDY_MEANS, _mean_rows(parts))
    content = _content(job, sweep, parts, values)
    write_text(job.writer.output(FILE), render(content))
    write_pictures(content, job.writer.output(FILE).parent)
    _record(job, judged)


def _part(
    finding: Finding, members: Sequence[Member], judged: Sequence[JudgedClaim], values: CellValues
) -> Part:
    metrics = ["best_of_largest", "spearman"]
    if finding.x == "n":
        ns = ("4", "16", "64", "256", "largest")
        metrics += [f"{kind}_of_{n}" for kind in ("best", "expected") for n in ns]
    return Part(
        finding=finding,
        judged=[j for j in judged if j.finding.name == finding.name],
        means=means(members, values, list(dict.fromkeys(metrics))),
        controls=control_means(values, members, list(dict.fromkeys(metrics))),
        flagged=values.flagged(members),
        n_cells=len({m.cell for m in members}),
        largest_n=values.largest_n,
    )


def control_means(
    values: CellValues, members: Sequence[Member], metrics: Sequence[str]
) -> dict[str, list[Mean]]:
    """The means of each control, by its name, over prompts and over the data sets of the finding.

    Controls have no seeds, and no expectation of their best of N.
    """
    data = list(dict.fromkeys(member.data for member in members))
    cells = [values.controls(one) for one in data]
    found: dict[str, list[Mean]] = {}
    for name in dict.fromkeys(name for of in cells for name in of):
        for metric in metrics:
            if metric.startswith(EXPECTED):
                continue
            try:
                of = np.array([values.of(there[name], metric) for there in cells if name in there])
                kept = of[:, ~np.isnan(of).any(axis=0)]
                mean = effect(kept[:, None], np.random.default_rng(0), ROUGH)
            except (NotThere, InputError, ValueError):  # ValueError: data of different prompts
                continue
            found.setdefault(name, []).append(Mean({"arm": name}, metric, mean))
    return found


def _finding_rows(judged: Sequence[JudgedClaim]) -> pa.Table:
    nan = float("nan")
    rows = []
    for j in judged:
        e, crosses, claim = j.effect, j.crossing, j.claim
        of = Effect(nan, nan, nan, nan, nan, 0, 0, 0) if e is None else e
        words = {"finding": j.finding.name, "claim": claim.statement, "in_study": claim.in_study}
        rule = {"metric": claim.metric, "kind": claim.kind, "smallest": claim.smallest}
        sizes = {"n_seeds": of.n_seeds, "n_prompts": of.n_prompts, "n_setups": of.n_setups}
        numbers = {"effect": of.value, "low": of.low, "high": of.high, "se": of.se, "df": of.df, **sizes}
        found = {
            "setup": j.setup,
            "n_in_favour": j.n_in_favour if j.by_setup else None,
            "detectable": of.detectable,
            "crossing": crosses.value if crosses else None,
            "crossing_low": crosses.low if crosses else None,
            "crossing_high": crosses.high if crosses else None,
            "p_supported": j.p.get("supported", nan),
            "p_contradicted": j.p.get("contradicted", nan),
            "p_negligible": j.p.get("negligible"),
            "verdict": j.verdict,
            "at_edge": j.is_at_edge,
            "survives_holm": j.survives,
            "corrected": j.corrected,
            "reason": j.reason or None,
        }
        rows.append({**words, **rule, **numbers, **found})
    return pa.Table.from_pylist(rows, schema=FINDINGS.schema)


def _setup_rows(judged: Sequence[JudgedClaim]) -> pa.Table:
    rows = []
    for j in judged:
        for setup, e in j.by_setup.items():
            place = {"finding": j.finding.name, "claim": j.claim.statement, "setup": setup}
            sizes = {"n_seeds": e.n_seeds, "n_prompts": e.n_prompts}
            rows.append({**place, "effect": e.value, "low": e.low, "high": e.high, **sizes})
    return pa.Table.from_pylist(rows, schema=FINDINGS_BY_SETUP.schema)


def _mean_rows(parts: Sequence[Part]) -> pa.Table:
    rows = [
        _mean_row(part, mean, "head", json.dumps(dict(mean.axes), ensure_ascii=False))
        for part in parts
        for mean in part.means
    ]
    rows += [
        _mean_row(part, mean, "control", name)
        for part in parts
        for name, found in part.controls.items()
        for mean in found
    ]
    return pa.Table.from_pylist(rows, schema=STUDY_MEANS.schema)


def _mean_row(part: Part, mean: Mean, kind: str, place: str) -> dict[str, Any]:
    e = mean.effect
    numbers = {"value": e.value, "low": e.low, "high": e.high, "n_seeds": e.n_seeds, "n_prompts": e.n_prompts}
    more = {"n_setups": e.n_setups, "error_rate": mean.error_rate if kind == "head" else None}
    return {
        "finding": part.finding.name,
        "place": place,
        "kind": kind,
        "metric": mean.metric,
        **numbers,
        **more,
    }


def _content(job: Job, sweep: Artifact, parts: list[Part], values: CellValues) -> StudyContent:
    setups = [Setup(**described) for described in job.config["setups"]]
    n_seeds = max((j.effect.n_seeds for p in parts for j in p.judged if j.effect), default=0)
    facts = {
        "Policy": _names(s.policy for s in setups),
        "Golden reward": _names(s.reward for s in setups),
        "Its standard deviation": _range(values.deviations),
        "Embedding": _names(s.embedder for s in setups),
        "Seeds": str(n_seeds),
    }
    shared = about(sweep.manifest, values.n_prompts, values.largest_n, facts)
    return StudyContent(experiment=job.name, setting=setting(setups), parts=parts, **shared)


def setting(setups: Sequence[Setup]) -> str:
    """The data of a study in words: `policy base, golden reward sentiment, embedding smollm2`."""
    kinds = {
        "policy": _names(s.policy for s in setups),
        "golden reward": _names(s.reward for s in setups),
        "embedding": _names(s.embedder for s in setups),
    }
    text = ", ".join(f"{kind} {names}" for kind, names in kinds.items())
    return text if len(setups) == 1 else f"{len(setups)} set-ups: {text}"


def _names(found: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(found))


def _range(values: Sequence[float]) -> str:
    """The range of values, one for each data set, as text."""
    if not values:
        return "not known"
    ends = dict.fromkeys(f"{end:.3g}" for end in (min(values), max(values)))
    return " to ".join(ends)


def _record(job: Job, judged: Sequence[JudgedClaim]) -> None:
    found = {word.replace(" ", "_"): n for word, n in counts(judged).items()}
    job.writer.counts.update(claims=len(judged), **found)
    job.writer.metrics["report"] = FILE
    not_run = [j for j in judged if j.verdict == "not run"]
    if not_run:
        job.writer.warnings.append(
            f"{len(not_run)} of {len(judged)} claims were not run, such as: {not_run[0].reason}"
        )
