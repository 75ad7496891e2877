"""Checks of a fit before there are responses: whether its parts fit each other, and whether there can be as
many comparisons as it asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.config.components import build
from rmlab.config.settings import Settings
from rmlab.data.splits import folds_of_groups
from rmlab.errors import ConfigError, InputError
from rmlab.evaluation.compare import answer_train, check_amounts
from rmlab.evaluation.fit import check_recipe, held_out
from rmlab.evaluation.fit_head import of_the_teacher, teacher_alone, teachers_half
from rmlab.noise.teacher import check_answerable
from rmlab.pipeline.counts import prompt_groups, responses_a_prompt
from rmlab.pipeline.node import Node
from rmlab.pipeline.problems import Problems
from rmlab.responses.table import Responses
from rmlab.storage.artifact import Artifact

_PARTS = {
    "head", "loss", "pairing", "noise", "selection", "ensemble", "centring", "teacher", "comparisons",
    "allow_modules",
}  # fmt: skip
_AMOUNTS = {"pairing", "comparisons", "validation", "teacher", "allow_modules"}
FEW = 8  # comparisons on which parts are tried
EXAMPLE = (16, 64)  # prompts, and responses to each at most, that these are drawn from
MOST = 1_000_000  # responses beyond which they are not counted here

Counted = tuple[Sequence[str], Sequence[int]]  # of each prompt: its group, and how many responses it has


def foresee_fit(settings: Settings, sample: Node, problems: Problems) -> None:
    """Adds what would stop a fit with these settings, on responses of `sample`, which need not be done."""
    error = problems.once("parts", settings.model_dump(include=_PARTS), lambda: _caught(settings))
    if error is not None:
        problems.add(error)
    counted = _counted(sample, ("train",), problems)
    if counted is None:
        return
    what = [sample.fingerprint, settings.model_dump(include=_AMOUNTS), bool(settings.objectives)]
    if why := problems.once("amounts", what, lambda: _too_many(settings, counted)):
        problems.add(ConfigError(why))


def foresee_folds(settings: Settings, sample: Node, problems: Problems) -> None:
    """Adds what would stop the fits without each fold: too few groups of prompts, or too few responses where
    the largest fold is left out."""
    how = settings.crossval
    by_split = prompt_groups(sample.inputs["prompts"], problems)
    if by_split is None:
        return
    with problems.caught():
        fold = folds_of_groups([*by_split["train"], *by_split["test"]], how.folds or 0, how.seed)
        counted = _counted(sample, ("train", "test"), problems)
        if counted is None or not set(counted[0]) <= fold.keys():
            return
        each = [(fold[group], group, count) for group, count in zip(*counted, strict=True)]
        sizes = np.bincount([k for k, _, _ in each], [count for _, _, count in each])
        left = [(group, count) for k, group, count in each if k != int(sizes.argmax())]
        if why := _too_many(settings, ([group for group, _ in left], [count for _, count in left])):
            raise ConfigError(f"without one of {how.folds} folds: {why}")


def _caught(settings: Settings) -> ConfigError | None:
    try:
        check_parts(settings)
    except ConfigError as error:
        return error
    except Exception:
        if not _has_own_code(settings):
            raise
    return None


def check_parts(settings: Settings) -> None:
    """Raises ConfigError where loss, head, pairing, noise, selection and teacher do not fit each other, tried
    on a few comparisons of imagined responses."""
    prompts, most = EXAMPLE
    responses = imagined([str(k) for k in range(prompts)], [min(settings.sampling.n_train, most)] * prompts)
    student = settings.teacher.n is not None and settings.teacher.fit == "student"
    if settings.teacher.n is not None and settings.teacher.fit != "ceiling":
        with of_the_teacher():
            _check_alone(teacher_alone(settings), responses)
    if settings.teacher.fit != "teacher":
        _check_alone(settings, responses, taught=student)


def _check_alone(settings: Settings, responses: Responses, taught: bool = False) -> None:
    few = {"n": FEW, "n_validation": None, "budget": "train", "rounds": 1, "candidates": None}
    changed = {"comparisons": settings.comparisons.model_copy(update=few)}
    try:
        drawn = answer_train(settings.model_copy(update=changed), responses, np.ones(len(responses), bool))
    except InputError:  # which is of the numbers of responses, and not of what fits what
        return
    check_recipe(settings, drawn.comparisons)
    if taught:
        check_answerable(drawn.comparisons)


def _too_many(settings: Settings, counted: Counted) -> str:
    """Returns why there cannot be as many comparisons as are asked for, or "" where that is not known."""
    if not hasattr(build(settings.pairing, settings.allow_modules, "pairing"), "check_amount"):
        return ""  # its capacity hangs on golden rewards
    try:
        check_counts(settings, imagined(*counted))
    except InputError as error:
        return str(error)
    except Exception:
        if not _has_own_code(settings):
            raise
    return ""


def _has_own_code(settings: Settings) -> bool:
    """True where a part is the user's own code, which may not take what is imagined; its fit tells then."""
    parts = [settings.head, settings.loss, settings.pairing, settings.noise, settings.selection]
    parts += [settings.teacher.head, settings.teacher.loss]
    targets = [part.get("_target_", "") for part in map(dict, filter(None, parts))]
    return not all(str(target).startswith("rmlab.") for target in targets)


def check_counts(settings: Settings, responses: Responses) -> None:
    """Raises InputError where the settings ask for more comparisons than the train responses allow, whatever
    their golden rewards are."""
    for one, among, of_teacher in _fits(settings, responses):
        is_validation = held_out(one, responses)
        with of_the_teacher() if of_teacher else nullcontext():
            check_amounts(one, responses, among & ~is_validation, among & is_validation)


def _fits(settings: Settings, responses: Responses) -> Iterator[tuple[Settings, np.ndarray, bool]]:
    """The fits that settings ask for: their settings, the responses that they compare, and whether it is the
    teacher's."""
    how = settings.teacher
    if settings.objectives or how.n is None:
        yield settings, np.ones(len(responses), dtype=bool), False
        return
    is_taught = teachers_half(settings, responses)
    if how.fit != "ceiling":
        yield teacher_alone(settings), is_taught, True
    if how.fit != "teacher":
        yield settings, ~is_taught, False


def imagined(groups: Sequence[str], counts: Sequence[int]) -> Responses:
    """Responses of train prompts with distinct golden rewards. groups, counts: of each prompt."""
    number = np.repeat(np.arange(len(groups)), counts)
    names = pa.array(list(groups), pa.string())
    prompts = pa.DictionaryArray.from_arrays(
        pa.array(number), pa.array([str(k) for k in range(len(groups))], pa.string())
    )
    golden = np.random.default_rng(0).permutation(len(number)).astype(np.float64)
    split_groups = pa.DictionaryArray.from_arrays(pa.array(number), names)
    ids = pa.array(np.arange(len(number)))
    return Responses(ids, prompts, golden, number, np.zeros(len(number), bool), split_groups=split_groups)


def _counted(sample: Node, splits: Sequence[str], problems: Problems) -> Counted | None:
    """Each prompt's group and the most responses that it can have; None where nobody knows without reading
    much."""
    return problems.once("counted", [sample.fingerprint, splits], lambda: _count(sample, splits, problems))


def _count(sample: Node, splits: Sequence[str], problems: Problems) -> Counted | None:
    if sample.is_done:
        artifact = sample.open()
        return None if artifact.manifest.rows > MOST else _by_prompt(artifact, splits)
    if (each := responses_a_prompt(sample)) is None:
        return None
    found = prompt_groups(sample.inputs["prompts"], problems)
    if found is None or sum(len(found[split]) * each[split] for split in splits) > MOST:
        return None
    groups = [group for split in splits for group in found[split]]
    return groups, [each[split] for split in splits for _ in found[split]]


def _by_prompt(responses: Artifact, splits: Sequence[str]) -> Counted:
    """A prompt's responses lie in one part, next to each other."""
    groups: list[str] = []
    counts: list[int] = []
    for part in responses.stream(columns=["prompt_id", "group", "split"]):
        those = part.filter(pc.field("split").isin(list(splits)))
        found = those.group_by(["prompt_id", "group"]).aggregate([([], "count_all")])
        groups += found["group"].to_pylist()
        counts += found["count_all"].to_pylist()
    return groups, counts
