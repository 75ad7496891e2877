"""The responses of a policy and their golden scores: ids, joins and ranges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.artifacts.set_record import responses_file, scores_file
from rmlab.sets.check_prompts import SPLITS, repeats
from rmlab.sets.checklist import Check

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
