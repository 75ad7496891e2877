"""The stage report writes the results of an experiment as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from rmlab.config.components import recorded_name
from rmlab.heads.fitted.linear import LinearHead
from rmlab.heads.fitted.storage import HEAD, read_description
from rmlab.pipeline.job import Job
from rmlab.pipeline.stages import BY_NAME
from rmlab.provenance import git_state, now, versions
from rmlab.report.content import ComparisonDesign, HeldOutFrames, ReportContent, StageRow
from rmlab.report.render import render
from rmlab.report.use_it import UseIt, use_of
from rmlab.storage.artifact import Artifact, open_artifact, upstream
from rmlab.storage.files import write_text
from rmlab.storage.manifest import Manifest

FILE = "report.html"
_TITLE = "Which reward head picks better answers?"
_HELDOUT_TITLE = "Which reward head agrees with the annotators?"
_HELDOUT_QUESTION = (
    "Heads are fitted on preferences between answers to the same prompt, and judged on pairs of other prompt "
    "groups: does the head score the preferred answer higher?"
)


def run(job: Job) -> None:
    write_text(job.writer.output(FILE), render(_content(job)))
    job.writer.metrics["report"] = FILE


def _content(job: Job) -> ReportContent:
    evaluation = job.inputs["eval_rm"]
    summary = evaluation.manifest.metrics
    sft, manifests = job.inputs.get("sft"), _manifests(job)
    heldout = heldout_frames(job.inputs["heldout"]) if "heldout" in job.inputs else None
    said = heldout_verdict(heldout, summary["chosen"], summary["chosen_by"]) if heldout else []
    return ReportContent(
        title=f"{_TITLE if heldout is None else _HELDOUT_TITLE} {job.name}",
        experiment=job.name,
        chosen=summary["chosen"],
        verdict=[*said, *(verdict(summary) if _more_than_pairs(summary) or not said else [])],
        config_yaml=yaml.safe_dump(job.settings.model_dump(), sort_keys=False, allow_unicode=True),
        commands=list(dict.fromkeys(m.command for m in manifests if m.command)),
        stages=[
            StageRow(m.stage, m.name, m.rows, m.seconds, m.fingerprint, m.counts, m.warnings)
            for m in manifests
        ],
        metrics=_frame(evaluation, "metrics"),
        curves=_frame(evaluation, "curves"),
        paired=_frame(evaluation, "paired"),
        calibration=_frame(evaluation, "calibration"),
        head_scores=_scores_of_heads(evaluation),
        responses=_responses(job.inputs["sample"]),
        texts=partial(_texts, job.inputs["sample"]),
        prompts=pd.DataFrame(job.inputs["prompts"].read().to_pylist()),
        sft_log=None if sft is None else _frame(sft, "training_log"),
        versions=versions(),
        git=git_state(),
        created=now(),
        question=_question(job) if heldout is None else _HELDOUT_QUESTION,
        reward=job.settings.labelling,
        facts=_facts(job),
        designs=_designs(job),
        heldout=heldout,
        use=_use(job, summary["chosen"]),
    )


def _use(job: Job, chosen: str) -> UseIt | None:
    """The lines that use the chosen head; None where a control was chosen, as no head is above it."""
    if (fit := job.several("fit_rm").get(chosen)) is None:
        return None
    record = next(r for r in fit.manifest.inputs if r.role == "embed")
    place = upstream(fit.path, record)
    embedder = open_artifact(place).manifest.config["embedder"]
    is_linear = read_description(fit.path / HEAD)["kind"] == LinearHead.kind
    is_classifier = is_linear and embedder.get("pooling") == "end"
    return use_of(str(fit.path), str(place), recorded_name(embedder), is_classifier)


def heldout_frames(heldout: Artifact) -> HeldOutFrames:
    return HeldOutFrames(
        accuracy=heldout.read("heldout").to_pandas(),
        pairs=heldout.read("heldout_pairs").to_pandas(),
        calibration=heldout.read("heldout_calibration").to_pandas(),
        agreement=heldout.read("heldout_agreement").to_pandas(),
        folds=heldout.manifest.config["crossval"]["folds"],
        baseline=heldout.manifest.metrics["baseline"],
    )


def heldout_verdict(frames: HeldOutFrames, chosen: str, chosen_by: str) -> list[str]:
    """Sentences on the chosen head's accuracy on held-out pairs, and on its lead over the baseline."""
    mine = frames.accuracy[frames.accuracy["arm"] == chosen].set_index("split")
    cv, test = mine.loc["cv"], mine.loc["test"]
    sentences = [
        f"{chosen}, chosen by {chosen_by}, prefers the answer that the annotators preferred in "
        f"{_share(cv)} of {cv['n_pairs']:,} held-out pairs by {frames.folds}-fold cross-validation "
        f"over {cv['n_groups']:,} prompt groups, and in {_share(test)} of {test['n_pairs']:,} test pairs."
    ]
    over, low, high = (100 * cv[name] for name in ("over", "over_low", "over_high"))
    sentences.append(
        f"Less {frames.baseline.replace('_', ' ')} on the same folds: {over:+.1f} points [{low:+.1f}, "
        f"{high:+.1f}]: {_reading(low, high, 'pairs')}."
    )
    return sentences


def verdict(summary: dict[str, Any]) -> list[str]:
    """Sentences on the chosen head on test prompts, against random choice and against length."""
    chosen, best = summary["chosen"], summary["best_of_n"]
    mine = best[chosen]
    n, over = mine["n"], summary["chosen_minus"]
    sentences = [
        f"{chosen}, chosen by {summary['chosen_by']}, reaches a golden reward of {_number(mine)} "
        f"with the best of {n} on {mine['n_prompts']} test prompts; random choice has "
        f"{best['random']['value']:.3f}, the oracle {best['oracle']['value']:.3f}."
    ]
    for control in ("random", "length"):
        if control in over and over[control]["low"] is not None:
            reading = _reading(over[control]["low"], over[control]["high"], "prompts")
            sentences.append(f"Its gain over {control} is {_number(over[control])}: {reading}.")
    return sentences


def _more_than_pairs(summary: dict[str, Any]) -> bool:
    """True if N is above 2, so that a best of N says more than which of two answers wins."""
    return summary["best_of_n"][summary["chosen"]]["n"] > 2


def _share(row: pd.Series) -> str:
    return f"{row['value']:.1%} [{row['low']:.1%}, {row['high']:.1%}]"


def _reading(low: float, high: float, what: str) -> str:
    """The words for a difference with this interval. what: prompts or pairs."""
    if low > 0:
        return "better, beyond the interval"
    return "worse, beyond the interval" if high < 0 else f"undecided on these {what}"


def _number(x: dict[str, Any]) -> str:
    if x["low"] is None:
        return f"{x['value']:.3f} (no interval: that needs 2 prompts)"
    return f"{x['value']:.3f} [{x['low']:.3f}, {x['high']:.3f}]"


def _question(job: Job) -> str:
    return (
        f"Heads are fitted on noisy comparisons of responses, labelled by the golden reward "
        f"“{job.settings.labelling}”, and judged by the golden reward of the response they choose among N."
    )


def _facts(job: Job) -> dict[str, str]:
    s = job.settings
    labels = [a.manifest.metrics["train_labels"] for a in job.several("fit_rm").values()]
    errors = [x["error_rate"] for x in labels if x["error_rate"] is not None]
    return {
        **_responses_facts(job),
        "Comparisons": f"{_span([x['n'] for x in labels], ',')} a head, without ties",
        "Annotator error": _error_words(errors, "heldout" in job.inputs),
        "Seeds": f"{s.seed} for fitting, {s.generation_seed} for generation",
    }


def _error_words(errors: list[float], are_given: bool) -> str:
    """are_given: the preferences come with the data, so an error rate of 0 has no meaning."""
    if not errors or (are_given and not any(errors)):
        return "not known: the preferences are those of the data" if errors else "not known"
    return f"{_span(errors, '.1%')} of the comparisons"


def _span(values: list[Any], form: str) -> str:
    """The value that all heads share, or the range of the values."""
    ends = dict.fromkeys(format(v, form) for v in (min(values), max(values)))
    return " to ".join(ends)


def _responses_facts(job: Job) -> dict[str, str]:
    s, sample = job.settings, job.inputs["sample"].manifest
    if not {"sft", "model"} & {record.role for record in sample.inputs}:
        return {"Responses": f"{sample.rows:,}, imported"}
    trained = f", SFT: {s.sft.method}" if "sft" in job.inputs else ""
    counts = f"{s.sampling.n_train} a train prompt, {s.sampling.n_test} a test prompt"
    return {"Policy": s.model + trained, "Responses": counts}


def _frame(artifact: Artifact, table: str) -> pd.DataFrame:
    return _compact(artifact.read(table))


def _compact(table: pa.Table) -> pd.DataFrame:
    """A data frame whose text stays in Arrow, since Python strings take several times the memory."""
    return table.to_pandas(types_mapper={pa.string(): pd.StringDtype("pyarrow")}.get)


def _scores_of_heads(evaluation: Artifact) -> pd.DataFrame:
    """The scores by heads, without those by controls, which are the most and are not shown."""
    metrics = evaluation.read("metrics", ["arm", "kind"])
    heads = pc.unique(metrics.filter(pc.field("kind") == "head")["arm"])
    return _compact(evaluation.read("head_scores", where=pc.is_in(pc.field("arm"), heads)))


def _responses(sample: Artifact) -> pd.DataFrame:
    """All responses without their texts; what repeats is held once."""
    parts = []
    for part in sample.stream(["prompt_id", "split", "finish_reason", "n_tokens"]):
        encoded = [part[name].dictionary_encode() for name in part.column_names[:3]]
        parts.append(pa.table([*encoded, part["n_tokens"]], names=part.column_names))
    return pa.concat_tables(parts).to_pandas()


def _texts(sample: Artifact, response_ids: Sequence[str]) -> pd.DataFrame:
    wanted = pc.is_in(pc.field("response_id"), pa.array(response_ids, pa.string()))
    found = sample.read(columns=["response_id", "text", "n_tokens", "finish_reason"], where=wanted)
    return found.to_pandas().drop_duplicates("response_id").set_index("response_id")


def _designs(job: Job) -> list[ComparisonDesign]:
    return [
        ComparisonDesign(name, a.manifest.config, a.manifest.metrics, _frame(a, "label_variance"))
        for name, a in job.several("fit_rm").items()
    ]


def _manifests(job: Job) -> list[Manifest]:
    """The manifest of each input once, in the order of the pipeline."""
    by_fingerprint = {a.manifest.fingerprint: a.manifest for a in job.inputs.values()}
    order = list(BY_NAME)
    return sorted(by_fingerprint.values(), key=lambda m: order.index(m.stage))
