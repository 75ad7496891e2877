"""frontier: golden reward over KL for the policies that heads and golden rewards make without training."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.errors import ConfigError, InputError
from rmlab.evaluation.frontier import (
    Curves,
    Rewarded,
    Samples,
    frontier_rows,
    measure,
    points_of,
    score_rows,
)
from rmlab.metrics.intervals import Resamples
from rmlab.pipeline.counts import responses_a_prompt
from rmlab.pipeline.job import Job, note_left_out
from rmlab.pipeline.node import Node
from rmlab.pipeline.problems import Problems
from rmlab.report.frontier import FrontierContent, render_frontier
from rmlab.responses.table import Responses, golden_of, positions, read_responses
from rmlab.storage.files import write_text
from rmlab.storage.frontier_schema import FRONTIER, OVEROPTIMISATION
from rmlab.storage.table_schema import Row

FILE = "frontier.html"


def run(job: Job) -> None:
    responses = read_responses(job.inputs["sample"], job.inputs["annotate"], ["train", "test"])
    note_left_out(job, responses.n_failed, job.settings.labelling)
    if not responses.is_test.any():
        raise InputError(
            "there are no responses to test prompts, on which the frontier is drawn; set prompts.n_test or "
            "prompts.test_fraction"
        )
    samples = _samples(job, responses)
    rewards = [*_heads(job, responses), *_golden(job, responses)]
    job.progress.start(len(rewards), "rewards")
    rows: list[Row] = []
    scores: list[Row] = []
    for reward in rewards:
        curves = measure(samples, reward, job.settings.frontier)
        draws = _draws(job, len(curves.whole))
        reference = job.config["reference"]
        rows += frontier_rows(curves, samples, draws, reference)
        scores += score_rows(curves, samples, draws, reference)
        _warn(job, curves)
        job.progress.advance(1)
    tables = {FRONTIER: rows, OVEROPTIMISATION: scores}
    made = {table: pa.Table.from_pylist(found, schema=table.schema) for table, found in tables.items()}
    for table, found in made.items():
        job.writer.table(table, found)
    content = FrontierContent(
        experiment=job.name,
        golden=_labels(job)[job.settings.labelling],
        policy=job.inputs["sample"].manifest.name,
        rows=made[FRONTIER].to_pandas(),
        scores=made[OVEROPTIMISATION].to_pandas(),
        warnings=job.writer.warnings,
    )
    write_text(job.writer.output(FILE), render_frontier(content))
    job.writer.metrics |= {"reference": job.config["reference"], "golden": content.golden, "report": FILE}


def foresee(node: Node, problems: Problems) -> None:
    """Checks the largest N against the responses that prompts will have."""
    if each := responses_a_prompt(node.inputs["sample"]):
        with problems.caught():
            if each["test"] < 2:
                raise ConfigError(
                    "test prompts have one response each, so that there is nothing to choose from; draw "
                    "more with sampling.n_test"
                )
            points_of(node.settings.frontier, each["test"])


def _samples(job: Job, responses: Responses) -> Samples:
    """The test responses; golden rewards are scaled by train responses, as the rewards of heads are."""
    test = responses.is_test
    reference = responses.golden[~test] if (~test).any() else responses.golden
    order = np.random.default_rng([job.settings.seed, 1]).permutation(int(test.sum()))
    return Samples(responses.golden[test], responses.group[test], float(reference.std()), order)


def _heads(job: Job, responses: Responses) -> list[Rewarded]:
    """The heads' scores of test responses, as eval_rm has them."""
    evaluation = job.inputs["eval_rm"]
    metrics = evaluation.read("metrics", ["arm", "kind"])
    arms = pc.unique(metrics.filter(pc.field("kind") == "head")["arm"])
    wanted = pc.is_in(pc.field("arm"), arms) & (pc.field("split") == "test")
    table = evaluation.read("head_scores", ["arm", "split", "response_id", "score"], where=wanted)
    ids = responses.ids.filter(pa.array(responses.is_test))
    found = []
    for arm in arms.to_pylist():
        mine = table.filter(pc.field("arm") == arm)
        rows = positions(ids, mine["response_id"], f"{evaluation.path}: no score by {arm} for")
        found.append(Rewarded(arm, "head", mine["score"].to_numpy()[rows]))
    return found


def _golden(job: Job, responses: Responses) -> list[Rewarded]:
    """Every golden reward as the reward of a policy, that which judges first: its tilt is the ceiling."""
    labels = _labels(job)
    found = []
    for name in sorted(labels, key=lambda name: name != job.settings.labelling):
        golden = golden_of(job.inputs[f"annotate:{name}"], responses.ids)
        reference = golden[~responses.is_test] if (~responses.is_test).any() else golden
        reference = reference[np.isfinite(reference)]
        mean, deviation = float(reference.mean()), float(reference.std())
        scaled = (golden[responses.is_test] - mean) / (deviation if deviation > 0 else 1.0)
        found.append(Rewarded(labels[name], "golden", scaled))
    return found


def _labels(job: Job) -> dict[str, str]:
    """What the golden rewards are called: one that is read from a file has the name that it has there."""
    golden = job.settings.golden
    labels = {name: str(golden[name].get("reward") or name) for name in job.several("annotate")}
    return labels if len(set(labels.values())) == len(labels) else {name: name for name in labels}


def _draws(job: Job, n_prompts: int) -> Resamples:
    rng = np.random.default_rng([job.settings.seed, 2])
    return Resamples.draw(n_prompts, rng, job.settings.evaluation.resamples)


def _warn(job: Job, curves: Curves) -> None:
    arm = curves.of.arm
    if curves.left_out:
        job.writer.warnings.append(
            f"{arm}: {curves.left_out} test prompts have one response and are left out"
        )
    if n := int(curves.constant.sum()):
        of = "all" if n == len(curves.constant) else f"{n} of {len(curves.constant)}"
        job.writer.warnings.append(
            f"{arm} gives the responses of {of} test prompts one value, so that nothing is tilted there"
        )
