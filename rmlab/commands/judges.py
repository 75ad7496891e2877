"""What a benchmark judges: a fitted head, or a golden reward that settings name, as one scorer of texts."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rmlab.config.components import build, component_name
from rmlab.config.hydra import load_settings
from rmlab.config.settings import Settings
from rmlab.errors import ConfigError, InputError
from rmlab.goldens.base import Combination, Failed, Scorer, TextScorer
from rmlab.logs.progress import Progress
from rmlab.models.compute import Compute, check_device
from rmlab.models.text.rendering import Exchange
from rmlab.models.weights import check_available
from rmlab.pipeline.chain import with_dtype
from rmlab.pipeline.foresee import foresee_component
from rmlab.pipeline.node import described
from rmlab.pipeline.problems import Problems
from rmlab.reward.model import RewardModel
from rmlab.reward.scored import Long
from rmlab.stages.annotate import score_rows

_READ = ("model", "file")  # kinds of sources that are named beside the settings
_AT_ONCE = 64  # texts between two updates of the progress
Named = Callable[[int], str]  # what errors call a text, by its place from 0


@dataclass(frozen=True)
class HeadOptions:
    """The options of a head, as of `rmlab score`; place: None where none was named."""

    place: Path | None
    device: str = "auto"
    base_model: str | None = None
    allow_modules: tuple[str, ...] = ()
    trust_remote_code: bool = False


class RewardJudge(Protocol):
    """Scores texts.

    name: for people and in results; cut: texts that were longer than the model reads, once they are scored.
    """

    name: str
    cut: int

    def score(self, exchanges: Sequence[Exchange], shown: Progress, long: Long, named: Named) -> np.ndarray:
        """Returns the scores, [n]; InputError where one is not a number."""
        ...

    def facts(self) -> dict[str, Any]:
        """What decides its scores: model, template, largest length."""
        ...


def judge_of(head: HeadOptions | None, overrides: Sequence[str], config_dir: Path | None) -> RewardJudge:
    """The one judge that options or settings name, checked and not loaded yet."""
    if head is not None and head.place is not None:
        _check_alone(overrides)
        return _head(head, head.place)
    if not any(o.lstrip("+").startswith("golden=") for o in overrides):
        raise ConfigError(
            "name what is judged: --head artifacts/fit_rm/NAME, or a golden reward such as golden=sentiment"
        )
    if head is not None:
        raise ConfigError(
            "--device, --base-model, --allow-module and --trust-remote-code are of a head; with a golden "
            "reward give settings, such as device=cpu, in their place"
        )
    return _golden(load_settings(overrides, config_dir))


def judge_of_model(model: RewardModel, overrides: Sequence[str] = ()) -> RewardJudge:
    """A reward model as a judge. overrides: settings, which it takes none of."""
    _check_alone(overrides)
    model.find_model()
    return _HeadJudge(model.place or repr(model), model)


def _check_alone(overrides: Sequence[str]) -> None:
    if overrides:
        raise ConfigError(f"a head takes no settings, got {overrides[0]}; leave out one of the two")


def _head(how: HeadOptions, place: Path) -> RewardJudge:
    check_device(how.device)
    model = RewardModel.load(
        place,
        device=how.device,
        base_model=how.base_model,
        allow_modules=how.allow_modules,
        trust_remote_code=how.trust_remote_code,
    )
    return judge_of_model(model)


def _golden(settings: Settings) -> RewardJudge:
    if len(settings.golden) > 1:
        raise ConfigError(f"a benchmark judges one golden reward, got {', '.join(settings.golden)}; name one")
    [(name, component)] = settings.golden.items()
    where = f"golden.{name}"
    golden = build(component, settings.allow_modules, where)
    if isinstance(golden, Combination):
        raise ConfigError(
            f"golden={name} weighs rewards by their spread over train responses, which a benchmark has "
            "not; name one of its parts"
        )
    problems = Problems()
    foresee_component(component, where, settings, problems)
    problems.raise_all()
    config, sources = described(component, where, settings)
    for source in sources.values():
        if source.kind == "model":
            check_available(source.name)
    s = with_dtype(settings, sources)
    compute = Compute(s.dtype, s.device, s.trust_remote_code, s.revision)
    kind = component_name(component, settings.allow_modules, where)
    read = {role.rpartition(".")[2]: source.name for role, source in sources.items() if source.kind in _READ}
    known = {key: value for key, value in config.items() if not key.startswith("_") and value is not None}
    facts = {"golden": kind, **read, **known, "dtype": s.dtype}
    return _GoldenJudge(name, facts, lambda: golden.open(compute))


class _HeadJudge:
    """A fitted head."""

    def __init__(self, name: str, model: RewardModel) -> None:
        self.name, self.model, self.cut = name, model, 0

    def score(self, exchanges: Sequence[Exchange], shown: Progress, long: Long, named: Named) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # texts that were cut are in the summary
            found = self.model.score_exchanges(exchanges, shown.advance, long, lambda n: named(n - 1))
        self.cut = int(found.truncated.sum())
        if len(odd := np.flatnonzero(~np.isfinite(found.score))):
            raise InputError(f"{self.name} gave NaN or infinity for {named(int(odd[0]))}; fit the head again")
        return found.score.astype(np.float64)

    def facts(self) -> dict[str, Any]:
        origin = self.model.origin
        known = {key: origin.embedder.get(key) for key in ("layer", "pooling")}
        return {
            "head": self.name,
            "embedder": origin.name,
            "model": origin.model or None,
            **{key: value for key, value in known.items() if value is not None},
            "template": origin.embedder.get("template") or origin.template,
            "template_hash": origin.template_hash,
            "max_tokens": getattr(self.model.embedder, "limit", None),
            "dtype": origin.dtype,
        }


class _GoldenJudge:
    """A golden reward."""

    def __init__(self, name: str, known: dict[str, Any], open_: Callable[[], Scorer]) -> None:
        self.name, self.known, self.open, self.cut = name, known, open_, 0
        self.scorer: Scorer | None = None

    def score(self, exchanges: Sequence[Exchange], shown: Progress, long: Long, named: Named) -> np.ndarray:
        self.scorer = scorer = self.open()
        found: list[float] = []
        for at in range(0, len(exchanges), _AT_ONCE):
            part = exchanges[at : at + _AT_ONCE]
            found += self._part(scorer, part, long, lambda k, at=at: named(at + k))  # type: ignore[misc]
            shown.advance(len(part))
        return np.array(found)

    def _part(self, scorer: Scorer, part: Sequence[Exchange], long: Long, named: Named) -> list[float]:
        scores = score_rows(scorer, part, self.name)
        for k, score in enumerate(scores):
            if isinstance(score, Failed):
                raise InputError(f"golden reward {self.name} gave no score for {named(k)} ({score.reason})")
        if isinstance(scorer, TextScorer) and (cut := scorer.counts["truncated"]):
            if long == "refuse":
                first = named(self._first_cut(scorer, scorer.counts, part))
                raise InputError(
                    f"{first} is longer than the model of golden reward {self.name} reads; shorten it, or "
                    "allow it to be cut with --long cut"
                )
            self.cut += cut
            scorer.counts.clear()
        return [float(score) for score in scores if not isinstance(score, Failed)]

    def _first_cut(self, scorer: Scorer, counts: Counter[str], part: Sequence[Exchange]) -> int:
        """The place of the first text that is cut when scored by itself, else 0. counts: the scorer's."""
        for k, exchange in enumerate(part):
            counts.clear()
            score_rows(scorer, [exchange], self.name)
            if counts["truncated"]:
                return k
        return 0

    def facts(self) -> dict[str, Any]:
        found = dict(self.known)
        if isinstance(self.scorer, TextScorer):
            found["template_hash"] = self.scorer.template_hash
            found["max_tokens"] = getattr(self.scorer, "limit", None)
        return found
