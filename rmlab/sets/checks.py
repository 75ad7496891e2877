"""Checks of an embedding set: its prompts, responses, scores and vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.data.messages import prompt_messages
from rmlab.data.scales import LARGEST
from rmlab.errors import InputError
from rmlab.responses.vectors import matrix
from rmlab.sets.checklist import Check
from rmlab.sets.read_tables import read_set_table, stream_set_table
from rmlab.storage.digest import digest
from rmlab.storage.set_record import (
    PROMPTS_FILE,
    EmbeddingSet,
    SetEmbedder,
    Split,
    embeddings_file,
    responses_file,
    scales_file,
    scores_file,
)
from rmlab.storage.set_schema import SET_SCALES, set_embeddings

SPLITS: tuple[Split, ...] = ("train", "test")


def check_prompts(opened: EmbeddingSet, prompts: pa.Table, check: Check) -> None:
    ids, splits = prompts["prompt_id"].to_pylist(), prompts["split"].to_pylist()
    check.rows(PROMPTS_FILE, [not i.strip() for i in ids], "prompt_id is empty")
    check.values(PROMPTS_FILE, repeats(ids), "prompt_id {} repeats an earlier row", ids)
    check.values(
        PROMPTS_FILE, np.array([s not in SPLITS for s in splits]), "split is {}, not train or test", splits
    )
    for split in SPLITS:
        n, said = splits.count(split), opened.record.prompts.get(split)
        if n == 0:
            check.fail(f"{PROMPTS_FILE} has no {split} prompts")
        if n != said:
            check.fail(f"{PROMPTS_FILE} has {n} {split} prompts, but set.json says {said}")
    messages = prompts["messages"].to_pylist()
    for row, conversation in enumerate(messages, start=1):
        try:
            prompt_messages({"messages": conversation}, f"{PROMPTS_FILE}, row {row}")
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
    check.values(PROMPTS_FILE, np.array(bad, dtype=bool), what, keys)


def repeats(keys: Sequence[Any]) -> np.ndarray:
    """[n] bool: an earlier row has the same key."""
    return pd.Series(keys, dtype=object).duplicated().to_numpy()


_REASONS = ("stop", "length", "imported")
_ROUNDING = 1e-3  # that a sum of log-probabilities may be above 0


def check_responses(policy: str, responses: pa.Table, prompts: pa.Table, check: Check) -> None:
    file = responses_file(policy)
    ids, prompt_ids = responses["response_id"].to_pylist(), responses["prompt_id"].to_pylist()
    splits, index = responses["split"].to_pylist(), responses["sample_index"].to_numpy()
    check.rows(file, [not i.strip() for i in ids], "response_id is empty")
    check.values(file, repeats(ids), "response_id {} repeats an earlier row", ids)
    split_of = dict(zip(prompts["prompt_id"].to_pylist(), prompts["split"].to_pylist(), strict=True))
    known = np.array([p in split_of for p in prompt_ids], dtype=bool)
    check.values(file, ~known, "prompt {} is not in prompts.parquet", prompt_ids)
    other = [k and split_of[p] != s for k, p, s in zip(known, prompt_ids, splits, strict=True)]
    check.values(file, np.array(other, dtype=bool), "split is {}, unlike its prompt's", splits)
    for split in SPLITS:
        if split not in splits:
            check.fail(f"{file} has no {split} responses")
    check.values(file, index < 0, "sample_index is {}", index)
    again = repeats(list(zip(prompt_ids, index.tolist(), strict=True)))
    check.values(file, again, "sample_index {} of its prompt repeats an earlier row", index)
    tokens, reasons = responses["n_tokens"].to_numpy(), responses["finish_reason"].to_pylist()
    check.values(file, tokens < -1, "n_tokens is {}; it is -1 where it is not known", tokens)
    odd = np.array([r not in _REASONS for r in reasons], dtype=bool)
    check.values(file, odd, f"finish_reason is {{}}, none of {', '.join(_REASONS)}", reasons)
    logprob = responses["logprob"].to_numpy()
    wrong = np.isinf(logprob) | (logprob > _ROUNDING)
    check.values(file, wrong, "logprob is {}; it is 0 or less, or NaN where it is not known", logprob)


def check_apart(responses: dict[str, pa.Table], check: Check) -> None:
    """No response id in two policies: tables of several policies can then be put together."""
    seen: dict[str, str] = {}
    for policy, table in responses.items():
        ids = table["response_id"].to_pylist()
        bad = np.array([seen.get(i, policy) != policy for i in ids], dtype=bool)
        check.values(responses_file(policy), bad, "response_id {} is another policy's, too", ids)
        seen |= dict.fromkeys(ids, policy)


def check_scores(
    policy: str, scores: pa.Table, responses: pa.Table, rewards: Sequence[str], check: Check
) -> None:
    file, answered = scores_file(policy), responses["response_id"].combine_chunks()
    ids, names, values = (scores[c] for c in ("response_id", "reward", "score"))
    number, named = values.to_numpy(), names.to_pylist()
    check.values(file, ~np.isfinite(number), "score is {}; leave out responses without a score", number)
    unknown = ~pc.is_in(ids, answered).to_numpy()
    check.values(file, unknown, f"response {{}} is not in {responses_file(policy)}", ids)
    odd = np.array([name not in rewards for name in named], dtype=bool)
    check.values(file, odd, "reward {} is not in set.json", named)
    again = repeats(list(zip(ids.to_pylist(), named, strict=True)))
    check.values(file, again, "a second score of response {} for the same reward", ids)
    for reward in rewards:
        scored = ids.filter(pc.equal(names, reward)).combine_chunks()
        missing = ~pc.is_in(answered, scored).to_numpy(zero_copy_only=False)
        check.values(responses_file(policy), missing, f"response {{}} has no score of {reward}", answered)


def check_embeddings(
    folder: Path, policy: str, embedder: SetEmbedder, responses: pa.Table, rows: int, check: Check
) -> None:
    """InputError where the file cannot be read at all. rows: how many set.json says there are."""
    file = embeddings_file(policy, embedder.name)
    ids: list[str] = []
    zero, outside = [], []
    for batch in stream_set_table(folder, file, set_embeddings(embedder.dimension), rows):
        q = matrix(batch["embedding"])
        ids += batch["response_id"].to_pylist()
        zero.append(~q.any(axis=1))
        outside.append((q < -LARGEST).any(axis=1))
    if not ids:
        check.fail(f"{file} has no rows")
        return
    check.rows(file, np.concatenate(zero), "its vector is all zeros")
    check.rows(file, np.concatenate(outside), f"a value is -128; values are -{LARGEST} to {LARGEST}")
    check.values(file, repeats(ids), "response_id {} repeats an earlier row", ids)
    answered, embedded = responses["response_id"].to_pylist(), set(ids)
    known = set(answered)
    unknown = np.array([i not in known for i in ids], dtype=bool)
    check.values(file, unknown, f"response {{}} is not in {responses_file(policy)}", ids)
    missing = np.array([i not in embedded for i in answered], dtype=bool)
    check.values(responses_file(policy), missing, f"response {{}} has no vector by {embedder.name}", answered)


def check_scales(folder: Path, policy: str, embedder: SetEmbedder, rows: int, check: Check) -> None:
    file = scales_file(policy, embedder.name)
    table = read_set_table(folder, file, SET_SCALES, rows)
    dimension, scale = table["dimension"].to_numpy(), table["scale"].to_numpy()
    if len(scale) != embedder.dimension:
        check.fail(f"{file} has {len(scale)} scales, but set.json says {embedder.dimension} dimensions")
    check.values(file, dimension != np.arange(len(scale)), "dimension is {}, out of order", dimension)
    check.values(file, ~(np.isfinite(scale) & (scale > 0)), "scale is {}; scales are above 0", scale)
