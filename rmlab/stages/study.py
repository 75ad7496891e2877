"""study: the cells of a sweep -> findings with verdicts, means with intervals, and a report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from rmlab.artifacts.artifact import Artifact
from rmlab.artifacts.files import write_text
from rmlab.artifacts.study_schema import FINDINGS, STUDY_MEANS
from rmlab.provenance import git_state, now, versions
from rmlab.report import wording
from rmlab.stages.base import Job
from rmlab.study.cells import Member
from rmlab.study.content import Part, StudyContent
from rmlab.study.controls import control_means
from rmlab.study.finding import Finding
from rmlab.study.judge import Judged, Mean, judge, means
from rmlab.study.pictures import write_pictures
from rmlab.study.render import render
from rmlab.study.values import CellValues

FILE = "report.html"


def run(job: Job) -> None:
    sweep = job.inputs["sweep"]
    values = CellValues(sweep.read("results").to_pandas(), sweep.read("cell_prompts").to_pandas())
    described = job.config["findings"].values()
    findings = [Finding.model_validate(d["finding"]) for d in described]
    members = {f.name: _members(d) for f, d in zip(findings, described, strict=True)}
    judged = judge(members, findings, values)
    parts = [_part(f, members[f.name], judged, values) for f in findings]
    job.writer.table(FINDINGS, _finding_rows(judged))
    job.writer.table(STUDY_MEANS, _mean_rows(parts))
    content = _content(job, sweep, parts, values)
    write_text(job.writer.path / FILE, render(content))
    write_pictures(content, job.writer.path)
    _record(job, sweep, judged)


def _members(described: dict[str, Any]) -> list[Member]:
    return [Member(m["axes"], m["cell"], m["data"]) for m in described["members"]]


def _part(finding: Finding, members: Sequence[Member], judged: Sequence[Judged], values: CellValues) -> Part:
    metrics = ["best_of_largest", "spearman"]
    if finding.x == "n":
        ns = ("4", "16", "64", "256", "largest")
        metrics += [f"{kind}_of_{n}" for kind in ("best", "proxy") for n in ns]
    return Part(
        finding=finding,
        judged=[j for j in judged if j.finding.name == finding.name],
        means=means(members, values, list(dict.fromkeys(metrics))),
        controls=control_means(values, members, list(dict.fromkeys(metrics))),
        flagged=values.flagged(members),
        n_cells=len({m.cell for m in members}),
        largest_n=values.largest_n,
    )


def _finding_rows(judged: Sequence[Judged]) -> pa.Table:
    rows = []
    for j in judged:
        e = j.effect
        numbers = {
            "effect": e.value if e else float("nan"),
            "low": e.low if e else float("nan"),
            "high": e.high if e else float("nan"),
            "se": e.se if e else float("nan"),
            "df": e.df if e else float("nan"),
            "n_seeds": e.n_seeds if e else 0,
            "n_prompts": e.n_prompts if e else 0,
            "detectable": e.detectable if e else float("nan"),
        }
        claim = j.claim
        words = {"finding": j.finding.name, "claim": claim.statement, "in_study": claim.in_study}
        rule = {"metric": claim.metric, "kind": claim.kind, "smallest": claim.smallest}
        found = {"p": j.p, "survives_holm": j.survives, "verdict": j.verdict, "reason": j.reason or None}
        rows.append({**words, **rule, **numbers, **found})
    return pa.Table.from_pylist(rows, schema=FINDINGS.schema)


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
    return {"finding": part.finding.name, "place": place, "kind": kind, "metric": mean.metric, **numbers}


def _content(job: Job, sweep: Artifact, parts: list[Part], values: CellValues) -> StudyContent:
    made = sweep.manifest
    return StudyContent(
        experiment=job.name,
        reward=job.config["reward"],
        parts=parts,
        facts={
            "Cells": f"{made.counts['cells']:,}, of which {made.counts['failed']:,} failed",
            "Test prompts": f"{values.n_prompts:,}, best of up to {values.largest_n:,} responses",
            "Seeds": f"{max((j.effect.n_seeds for p in parts for j in p.judged if j.effect), default=0)}",
            "Golden reward": f"{job.config['reward']}, standard deviation {_range(values.deviations)}",
            "Time of the sweep": wording.duration(made.seconds),
        },
        warnings=made.warnings,
        command=made.command,
        versions=versions(),
        git=git_state(),
        created=now(),
    )


def _range(values: Sequence[float]) -> str:
    """Of several data there are several."""
    ends = dict.fromkeys(f"{end:.3g}" for end in (min(values), max(values)))
    return " to ".join(ends)


def _record(job: Job, sweep: Artifact, judged: Sequence[Judged]) -> None:
    verdicts = Counter(j.verdict for j in judged)
    job.writer.counts.update(claims=len(judged), **{v.replace(" ", "_"): n for v, n in verdicts.items()})
    job.writer.metrics["report"] = FILE
    not_run = [j for j in judged if j.verdict == "not run"]
    if not_run:
        job.writer.warnings.append(
            f"{len(not_run)} of {len(judged)} claims were not run; such as: {not_run[0].reason}"
        )
