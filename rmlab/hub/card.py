"""The model card of a head: README.md with the front matter that hubs read, made of the head's own record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from rmlab.config.components import recorded_name
from rmlab.errors import one_line
from rmlab.heads.base import RewardHead
from rmlab.hub.markdown import code, fenced, table, words
from rmlab.hub.measured import Metric
from rmlab.reward.origin import Origin

TAGS = ("reward-model", "preference-learning", "rmlab")
LIBRARY = "rmlab"
_FITTED_BY = ("pairing", "noise", "loss", "head")


def head_card(
    facts: Mapping[str, Any],
    origin: Origin,
    head: RewardHead,
    name: str,
    licence: str,
    *,
    use: str,
    metrics: Sequence[Metric] = (),
    more: Mapping[str, str] | None = None,
    library: str = LIBRARY,
) -> str:
    """The text of a card.

    facts, origin, head: of a RewardModel; name: the title; use: the Python that scores a text with it;
    metrics: those of `rmlab.hub.measured.metrics_of`; more: further facts by name, such as a constant that
    was dropped; library: what loads the folder, for the hub's own list.
    """
    parts = [
        f"# {words(name)}",
        _summary(origin, head),
        f"## Use it\n\n{fenced(use, 'python')}",
        "## What it is\n\n" + _facts(facts, origin, head, licence, more or {}),
        "## How well it does\n\n" + _metrics(metrics),
        "## What it was fitted on\n\n" + _data(facts),
        "## Limits\n\n" + _limits(origin, library),
        "## Versions\n\n" + _versions(facts),
    ]
    return f"---\n{_front(origin, name, licence, metrics, library)}\n---\n\n" + "\n\n".join(parts) + "\n"


def base_name(origin: Origin) -> str:
    """The name of the embedding model for others: its hub id, or the last part of a local path; "" if there
    is none."""
    if is_of_hub(origin):
        return origin.identity.removeprefix("hub:").rpartition("@")[0]
    return PurePath(origin.model).name


def is_of_hub(origin: Origin) -> bool:
    return origin.identity.startswith("hub:")


def _front(origin: Origin, name: str, licence: str, metrics: Sequence[Metric], library: str) -> str:
    """The metadata as YAML, which the hub's own class writes, so that no text can end its line."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="text-classification",
            dataset_type="rmlab",
            dataset_name="test prompts of the experiment",
            dataset_split=metric.split,
            metric_type=metric.name,
            metric_name=one_line(metric.meaning),
            metric_value=metric.value,
            metric_args=None if metric.low is None else {"low": metric.low, "high": metric.high},
        )
        for metric in metrics
    ]
    data = ModelCardData(
        license=one_line(licence).lower(),
        base_model=base_name(origin) if is_of_hub(origin) else None,
        library_name=library,
        pipeline_tag="text-classification",
        tags=list(TAGS),
        model_name=one_line(name) if results else None,
        eval_results=results or None,
    )
    return data.to_yaml().strip()


def _summary(origin: Origin, head: RewardHead) -> str:
    base = base_name(origin)
    read = (
        f"embeddings by {code(base)}" if base else f"embeddings by {code(origin.name)}, which reads no model"
    )
    return (
        f"A reward model of rmlab: a head ({code(type(head).__name__)}) that scores a response to a prompt "
        f"from {read}."
    )


def _facts(
    facts: Mapping[str, Any], origin: Origin, head: RewardHead, licence: str, more: Mapping[str, str]
) -> str:
    settings = origin.embedder
    own: dict[str, Any] = {
        "Head": f"{type(head).__name__} of {origin.d:,} values",
        "Fit": facts.get("fingerprint", ""),
        "Embedder": origin.name,
        "Base model": base_name(origin),
        "Contents of the base model": "" if is_of_hub(origin) else origin.identity,
        "Commit of the base model": origin.identity.rpartition("@")[2] if is_of_hub(origin) else "",
        "Pooling": settings.get("pooling", ""),
        "Layer": settings.get("layer", ""),
        "Template": origin.template,
        "Template hash": origin.template_hash,
        "Largest length in tokens": settings.get("max_tokens") or "",
        "Precision": origin.dtype,
        "Temperature": "" if facts.get("temperature") is None else f"{facts['temperature']:.4g}",
        "Licence": licence,
        **more,
    }
    shown = [(words(key), code(value)) for key, value in own.items() if value != ""]
    return table(("", ""), shown)


def _metrics(metrics: Sequence[Metric]) -> str:
    if not metrics:
        return "No evaluation came with the head; `rmlab eval-rm` judges heads on test prompts."
    rows = [
        (words(m.meaning), words(m.split), f"{m.value:.3f}", _interval(m), f"{m.prompts:,}") for m in metrics
    ]
    return table(("metric", "prompts", "value", "95 % interval", "number of prompts"), rows)


def _interval(metric: Metric) -> str:
    return "none" if metric.low is None else f"{metric.low:.3f} to {metric.high:.3f}"


def _data(facts: Mapping[str, Any]) -> str:
    settings, counts = _mapping(facts.get("settings")), _mapping(facts.get("counts"))
    inputs = _mapping(facts.get("data"))
    rows = [(words(f"input {role}"), code(_input(record))) for role, record in inputs.items()]
    known = [part for part in _FITTED_BY if _mapping(settings.get(part))]
    rows += [(words(part), code(recorded_name(settings[part]))) for part in known]
    rows += [(words(key.replace("_", " ")), code(value)) for key, value in counts.items()]
    if "seed" in settings:
        rows.append(("seed", code(settings["seed"])))
    return table(("", ""), rows) if rows else "Nothing is recorded."


def _input(record: Any) -> str:
    """An input by its name without a folder, and the start of its fingerprint."""
    known = _mapping(record)
    name = str(known.get("name", ""))
    own = PurePath(name).name if name.startswith(("/", "~", ".")) else name
    return f"{own} {str(known.get('fingerprint', ''))[:16]}".strip()


def _limits(origin: Origin, library: str) -> str:
    lines = [
        "Scores have mean 0 and standard deviation 1 on the responses that the head was fitted on; they say "
        "nothing of other prompts by their size, and order responses to one prompt.",
        "A head reads embeddings of its own base model, template, layer and pooling alone.",
        "A reward that is optimised hard is optimised past what it measures; look at the responses as well.",
    ]
    if origin.embedder.get("max_tokens"):
        lines.append("Texts longer than the largest length lose the start of their prompt, with a warning.")
    if library == LIBRARY and origin.model and not is_of_hub(origin):
        lines.append(
            f"The base model was read from a local folder or a package, as {code(base_name(origin))}; "
            "`base_model=` says where yours lies, and one with other contents is refused."
        )
    return "\n".join(f"- {line}" for line in lines)


def _versions(facts: Mapping[str, Any]) -> str:
    versions = _mapping(facts.get("versions"))
    told = ", ".join(f"{words(name)} {words(version)}" for name, version in versions.items())
    return f"Fitted {words(facts.get('created') or 'at an unknown time')} with {told or 'unknown versions'}."


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
