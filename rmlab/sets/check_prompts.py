"""The prompts of a set: ids, conversations, and splits that share nothing."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from rmlab.artifacts.fingerprint import digest
from rmlab.artifacts.set_record import PROMPTS, EmbeddingSet, Split
from rmlab.data.messages import prompt_messages
from rmlab.errors import InputError
from rmlab.sets.checklist import Check

SPLITS: tuple[Split, ...] = ("train", "test")


def check_prompts(opened: EmbeddingSet, prompts: pa.Table, check: Check) -> None:
    ids, splits = prompts["prompt_id"].to_pylist(), prompts["split"].to_pylist()
    check.rows(PROMPTS, [not i.strip() for i in ids], "prompt_id is empty")
    check.values(PROMPTS, repeats(ids), "prompt_id {} repeats an earlier row", ids)
    check.values(
        PROMPTS, np.array([s not in SPLITS for s in splits]), "split is {}, not train or test", splits
    )
    for split in SPLITS:
        n, said = splits.count(split), opened.record.prompts.get(split)
        if n == 0:
            check.fail(f"{PROMPTS} has no {split} prompts")
        if n != said:
            check.fail(f"{PROMPTS} has {n} {split} prompts, but set.json says {said}")
    messages = prompts["messages"].to_pylist()
    for row, conversation in enumerate(messages, start=1):
        try:
            prompt_messages({"messages": conversation}, f"{PROMPTS}, row {row}")
        except InputError as error:
            check.fail(str(error))
            break
    _check_apart(check, "group {} has prompts of both splits", prompts["group"].to_pylist(), splits)
    contents = [digest([[m["role"], m["content"]] for m in c if m]) for c in messages]
    _check_apart(check, "its messages are those of a prompt of the other split", contents, splits)


def _check_apart(check: Check, what: str, keys: list[str], splits: list[str]) -> None:
    """Rows that share a key share their split."""
    first: dict[str, str] = {}
    bad = [first.setdefault(key, split) != split for key, split in zip(keys, splits, strict=True)]
    check.values(PROMPTS, np.array(bad, dtype=bool), what, keys)


def repeats(keys: list) -> np.ndarray:  # type: ignore[type-arg]
    """[n] bool: an earlier row has the same key."""
    seen: set = set()
    found = np.zeros(len(keys), dtype=bool)
    for row, key in enumerate(keys):
        found[row] = key in seen
        seen.add(key)
    return found
