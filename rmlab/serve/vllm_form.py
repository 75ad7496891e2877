"""POST /classify: vLLM's form, which verl's client speaks too. A reward stands where a class's logit does."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

from rmlab.models.text.tokens import Encoded
from rmlab.reward.scored import ScoredTexts
from rmlab.serve.asked import Asked, Desk
from rmlab.serve.batching import TextJob
from rmlab.serve.body import check_text, listed
from rmlab.serve.refusals import bad
from rmlab.serve.score_form import split_talk
from rmlab.serve.scorer import Tokens

_LABEL = "LABEL_0"  # what transformers calls the only class


def read_classify(body: dict[str, Any], desk: Desk) -> Asked:
    """{"messages": [...]}, a conversation or several; or {"input": ...}, texts or tokens, with pooling=end.

    The rest is accepted and has no use: a reward has no activation.
    """
    if ("messages" in body) == ("input" in body):
        raise bad("send either messages or input")
    job = _of_messages(body, desk) if "messages" in body else _of_input(body, desk)
    return Asked(job, lambda scored: _reply(scored, job, desk.scorer.name))


def _of_messages(body: dict[str, Any], desk: Desk) -> TextJob:
    given = listed(body, "messages", desk.limits)
    talks = given if all(isinstance(talk, list) for talk in given) else [given]
    pairs = [split_talk(talk, k) for k, talk in enumerate(talks, start=1)]
    prompts, responses = zip(*pairs, strict=True)
    return desk.texts(prompts, responses)


def _of_input(body: dict[str, Any], desk: Desk) -> TextJob:
    tokens = desk.scorer.tokens
    if tokens is None or tokens.pooling != "end":
        pooling = "" if tokens is None else f" (embedder.pooling={tokens.pooling})"
        raise bad(
            f"this head must know where the response begins{pooling}, which input does not say; send "
            "messages, or fit a head with embedder.pooling=end"
        )
    special = body.get("add_special_tokens", True)
    if not isinstance(special, bool):
        raise bad("add_special_tokens must be true or false")
    given = body["input"]
    if isinstance(given, str) or (isinstance(given, list) and given and _is_token(given[0])):
        given = [given]
    rows = listed({"input": given}, "input", desk.limits)
    return desk.tokens([Encoded(ids, []) for ids in _ids(rows, tokens, special, desk)])


def _ids(rows: list[Any], tokens: Tokens, special: bool, desk: Desk) -> list[list[int]]:
    if isinstance(rows[0], str):
        for k, text in enumerate(rows, start=1):
            check_text(text, f"input, entry {k}", desk.limits)
        return tokens.of_texts(rows, special)
    for k, ids in enumerate(rows, start=1):
        if not isinstance(ids, list) or not all(map(_is_token, ids)):
            raise bad(f"input, entry {k}: must be a list of tokens, whole numbers, as the first entry is")
        if len(ids) > desk.limits.max_chars:
            raise bad(
                f"input, entry {k}: has {len(ids)} tokens, and may have {desk.limits.max_chars}", "length"
            )
        if odd := next((token for token in ids if not 0 <= token < tokens.size), None):
            raise bad(f"input, entry {k}: there is no token {str(odd)[:30]}; the model has {tokens.size}")
    return rows


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _reply(scored: ScoredTexts, job: TextJob, name: str) -> dict[str, Any]:
    used = job.cost if job.has_tokens else int(scored.n_tokens.clip(min=0).sum())
    data = [
        {"index": k, "label": _LABEL, "probs": [score], "num_classes": 1}
        for k, score in enumerate(scored.score.tolist())
    ]
    return {
        "id": f"classify-{uuid4().hex}",
        "object": "list",
        "created": int(time.time()),
        "model": name,
        "data": data,
        "usage": {
            "prompt_tokens": used,
            "total_tokens": used,
            "completion_tokens": 0,
            "prompt_tokens_details": None,
        },
    }
