"""Reads the rows of a suite from a file, a dataset's folder, or a dataset in the local cache of the hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rmlab.data.dataset_rows import cached_dataset, is_dataset, split_files
from rmlab.data.forms.base import has
from rmlab.data.reader import Row, read_rows
from rmlab.errors import ConfigError, InputError
from rmlab.paths import user_path
from rmlab.suites import judgebench, rewardbench, rewardbench2, rm_bench
from rmlab.suites.base import Question, Suite

SUITES: dict[str, Suite] = {
    module.SUITE.name: module.SUITE for module in (rewardbench, rewardbench2, rm_bench, judgebench)
}


_READ = ("messages", "id", "chosen_model", "rejected_model", "pair_id", "original_id", "response_model")
COLUMNS = tuple({name: None for s in SUITES.values() for name in (*s.columns.split(", "), *_READ)})


def suite_named(name: str) -> Suite:
    if name not in SUITES:
        raise ConfigError(f"there is no suite {name}; give one of {', '.join(SUITES)}")
    return SUITES[name]


def read_questions(suite: Suite, source: str, split: str | None = None) -> list[Question]:
    """All rows of a suite, checked.

    source: a file; a folder of a dataset; or a name such as allenai/reward-bench, which is taken from the
    local cache and never fetched. split: of a dataset, else the one that the suite is judged on.
    """
    questions: list[Question] = []
    for number, row in _rows(suite, source, split):
        if not questions:
            _check_suite(suite, row, source)
        questions.append(suite.question(row, number, f"{source}, row {number}"))
    suite.check(questions)
    return questions


def _rows(suite: Suite, source: str, split: str | None) -> Iterator[tuple[int, Row]]:
    """(number from 1, row), counted over all files."""
    path = user_path(source)
    if not is_dataset(path):
        if split is not None:
            raise ConfigError(f"--split {split}: {source} is a file, which has no splits; leave it out")
        yield from read_rows(path, COLUMNS)
        return
    folder = path if path.is_dir() else cached_dataset(source)
    number = 0
    for file in split_files(folder, split, suite.split):
        for _, row in read_rows(file, COLUMNS):
            number += 1
            yield number, row


def suite_of(row: Row) -> str | None:
    """The suite that the columns of a row are of; None if they are of none."""
    if has(row, "response_A") and has(row, "response_B"):
        return judgebench.SUITE.name
    if not (has(row, "chosen") and has(row, "rejected")):
        return None
    if has(row, "num_correct") or has(row, "total_completions"):
        return rewardbench2.SUITE.name
    if has(row, "domain") or _n_texts(row["chosen"]) == rm_bench.STYLES:
        return rm_bench.SUITE.name
    return rewardbench2.SUITE.name if _n_texts(row["chosen"]) else rewardbench.SUITE.name


def _n_texts(value: object) -> int:
    """The number of answers in a list of texts; 0 for anything else, as for a text or messages."""
    is_texts = isinstance(value, list | tuple) and all(isinstance(part, str) for part in value)
    return len(value) if is_texts and isinstance(value, list | tuple) else 0


def _check_suite(suite: Suite, row: Row, source: str) -> None:
    """Raises InputError if the columns of the first row are those of another suite, or of none."""
    found = suite_of(row)
    if found == suite.name:
        return
    columns = ", ".join(sorted(map(str, row))) or "nothing"
    if found is None:
        raise InputError(
            f"{source}: its columns ({columns}) are of no suite; {suite.name} needs those of the dataset "
            f"{suite.dataset}: {suite.columns}"
        )
    raise InputError(
        f"{source}: its columns ({columns}) look like the suite {found}, not {suite.name}; give --suite "
        f"{found}"
    )


def drawn(questions: Sequence[Question], limit: int | None, seed: int) -> list[Question]:
    """All rows of `limit` prompts drawn at random, in the order of the file; all rows without a limit."""
    units = sorted({q.unit for q in questions})
    if limit is None or limit >= len(units):
        return list(questions)
    if limit < 1:
        raise ConfigError(f"--limit {limit}: draw at least 1 prompt")
    kept = set(np.random.default_rng(seed).choice(units, limit, replace=False).tolist())
    return [q for q in questions if q.unit in kept]
