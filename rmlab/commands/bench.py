"""rmlab bench: judge a head or a golden reward on a public benchmark of reward models."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rmlab.commands.judges import HeadOptions, RewardJudge, judge_of
from rmlab.commands.out_file import check_out_file, unwritable
from rmlab.logs.progress import Progress
from rmlab.models.text.rendering import Exchange
from rmlab.paths import user_path
from rmlab.pipeline.problems import Problems
from rmlab.reward.scored import Long
from rmlab.storage.files import plain, replacing
from rmlab.suites.base import Question, Scores, Suite
from rmlab.suites.lines import RESAMPLES, ScoredLine, SuiteResults, suite_results
from rmlab.suites.questions import drawn, read_questions, suite_named
from rmlab.terminal import say, say_json, say_table


@dataclass(frozen=True)
class BenchOptions:
    """suite: its name; split: of a dataset; limit: prompts that are drawn, None for all; seed: of that draw
    and of the intervals; out: the file of results by row; long: cut or refuse texts that are too long."""

    suite: str
    split: str | None
    limit: int | None
    seed: int
    out: Path | None
    long: Long


@dataclass(frozen=True)
class Benched:
    """Results of a benchmark. questions: those that were judged; total: rows of the file."""

    suite: Suite
    source: str
    judge: RewardJudge
    questions: list[Question]
    scores: Scores
    results: SuiteResults
    total: int

    @property
    def n_texts(self) -> int:
        return sum(len(q.answers) for q in self.questions)


def bench_command(
    source: str,
    overrides: Sequence[str],
    head: HeadOptions | None,
    how: BenchOptions,
    as_json: bool,
    config_dir: Path | None,
) -> None:
    done = benched(source, lambda: judge_of(head, overrides, config_dir), how)
    if how.out is not None:
        _write(done, how.out)
    if as_json:
        say_json(document(done, how))
    else:
        _tell(done, how)


def benched(
    source: str, find_judge: Callable[[], RewardJudge], how: BenchOptions, quiet: bool = False
) -> Benched:
    """Scores all answers and computes the results; all that is wrong is told before a model is loaded.

    find_judge: returns what is judged, or raises what is wrong with it; quiet: show no progress.
    """
    suite = suite_named(how.suite)
    problems = Problems()
    judge: RewardJudge | None = None
    read: list[Question] = []
    with problems.caught():
        if how.out is not None:
            check_out_file(how.out, (".jsonl",), user_path(source))
    with problems.caught():
        judge = find_judge()
    with problems.caught():
        read = read_questions(suite, source, how.split)
    problems.raise_all()
    assert judge is not None
    questions = drawn(read, how.limit, how.seed)
    scores = _scored(judge, questions, how.long, quiet)
    results = suite_results(suite, questions, scores, how.seed)
    return Benched(suite, source, judge, questions, scores, results, len(read))


def _scored(judge: RewardJudge, questions: Sequence[Question], long: Long, quiet: bool) -> list[np.ndarray]:
    """The scores of the answers of each question."""
    owner = [(q, k) for q in questions for k in range(len(q.answers))]
    exchanges = [
        Exchange(f"row-{q.number}", f"row-{q.number}-{k}", q.messages, q.answers[k]) for q, k in owner
    ]

    def named(at: int) -> str:
        question, k = owner[at]
        return f"{question.where}: answer {k + 1}"

    with Progress("bench", "texts", quiet) as progress:
        progress.start(len(exchanges))
        found = judge.score(exchanges, progress, long, named)
    return np.split(found, np.cumsum([len(q.answers) for q in questions])[:-1])


def _write(done: Benched, out: Path) -> None:
    """A line of JSON for each row."""
    try:
        with replacing(out) as temporary, temporary.open("w", encoding="utf-8") as file:
            for row in result_rows(done):
                file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
    except OSError as error:
        raise unwritable(out, error) from None


def result_rows(done: Benched) -> list[dict[str, Any]]:
    """The rows with their scores, in the suite's own shape."""
    pairs = zip(done.questions, done.scores, strict=True)
    return [plain(done.suite.result(question, scores, done.judge.name)) for question, scores in pairs]


def document(done: Benched, how: BenchOptions) -> dict[str, Any]:
    """All that is known of the results, as plain values."""
    found = {
        "suite": done.suite.name,
        "source": done.source,
        "judged": done.judge.facts(),
        "rows": len(done.questions),
        "rows_of_file": done.total,
        "prompts": len({q.unit for q in done.questions}),
        "texts": done.n_texts,
        "cut": done.judge.cut,
        "equal": done.results.equal,
        "empty": _n_empty(done),
        "limit": how.limit,
        "seed": how.seed,
        "resamples": RESAMPLES,
        "overall": asdict(done.results.overall),
        "scores": [asdict(line) for line in done.results.lines],
        "notes": done.results.notes,
        "out": None if how.out is None else str(how.out),
    }
    return dict(plain(found))


def _n_empty(done: Benched) -> int:
    return sum(not answer.strip() for q in done.questions for answer in q.answers)


def _tell(done: Benched, how: BenchOptions) -> None:
    n_prompts = len({q.unit for q in done.questions})
    say(f"{done.suite.name}: {len(done.questions):,} rows of {n_prompts:,} prompts in {done.source}")
    facts = done.judge.facts().items()
    say("judged: " + ", ".join(f"{name} {value}" for name, value in facts if value is not None))
    columns = ("result", "score", "95 % interval", "rows", "prompts")
    say_table(columns, [_cells(line) for line in done.results.lines])
    for text in _remarks(done):
        say(text)
    if how.out is not None:
        say(f"written to {how.out}")


def _cells(line: ScoredLine) -> tuple[str, ...]:
    ends = "–" if line.low is None else f"{line.low:.3f} to {line.high:.3f}"
    return line.name, f"{line.score:.3f}", ends, f"{line.rows:,}", f"{line.prompts:,}"


def _remarks(done: Benched) -> list[str]:
    """What a reader must know of the scores."""
    found = list(done.results.notes)
    if len(done.questions) < done.total:
        found.append(
            f"{len(done.questions):,} of the {done.total:,} rows of the file, drawn by --limit, so this is "
            "not the benchmark's figure"
        )
    if done.judge.cut:
        found.append(
            f"{done.judge.cut:,} of {done.n_texts:,} texts were longer than the model reads and were cut "
            "(--long refuse stops there)"
        )
    if n := _n_empty(done):
        found.append(f"{n:,} answers are empty, and were scored as they are")
    if n := done.results.equal:
        found.append(f"in {n:,} rows a right and a wrong answer have the same score")
    if done.results.overall.low is None:
        found.append("an interval needs two prompts in each part of a result")
    return found
