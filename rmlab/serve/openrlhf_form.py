"""POST /get_reward: what OpenRLHF sends to a remote reward model.

A query is a prompt with its response, rendered by the policy's template and with the names of special tokens
in it, so nothing is rendered anew.
"""

from __future__ import annotations

from typing import Any

from rmlab.models.text.tokens import Encoded
from rmlab.reward.scored import ScoredTexts
from rmlab.serve.asked import Asked, Desk
from rmlab.serve.batching import TextJob
from rmlab.serve.body import texts_under
from rmlab.serve.refusals import bad
from rmlab.serve.scorer import Tokens


def read_reward(body: dict[str, Any], desk: Desk) -> Asked:
    """{"query": [...], "prompts": [...], "labels": [...]}, of which labels have no use here."""
    queries = texts_under(body, "query", desk.limits)
    prompts = None if body.get("prompts") is None else texts_under(body, "prompts", desk.limits)
    if prompts is not None and len(prompts) != len(queries):
        raise bad(f"query has {len(queries)} entries and prompts {len(prompts)}; send one for each")
    return Asked(_job(queries, prompts, desk), _reply)


def _job(queries: list[str], prompts: list[str] | None, desk: Desk) -> TextJob:
    tokens = desk.scorer.tokens
    if tokens is not None and tokens.pooling == "end":
        return desk.tokens(_whole(queries, prompts, tokens))
    prompts, responses = _apart(queries, prompts)
    if tokens is None:
        return desk.texts(prompts, responses)
    for k, (prompt, response) in enumerate(zip(prompts, responses, strict=True), start=1):
        if not prompt:
            raise bad(f"query {k}: its prompt is empty; send the text before the response", "empty")
        desk.check_response(response, f"query {k}")
    return desk.tokens(_pieces(prompts, responses, tokens))


def _whole(queries: list[str], prompts: list[str] | None, tokens: Tokens) -> list[Encoded]:
    """The tokens of whole queries; what they share with their prompts is read once for each prompt.

    Of those that are too long the beginning is cut, so that the token that is pooled stays.
    """
    rows = tokens.of_texts(queries, special=False)
    if prompts is None:
        return [Encoded(ids, []) for ids in rows]
    distinct = list(dict.fromkeys(prompts))
    known = dict(zip(distinct, tokens.of_texts(distinct, special=False), strict=True))
    return [
        Encoded(ids, []) if len(ids) > tokens.limit else _divided(ids, known[prompt])
        for ids, prompt in zip(rows, prompts, strict=True)
    ]


def _divided(ids: list[int], prompt: list[int]) -> Encoded:
    at = 0
    while at < min(len(ids), len(prompt)) and ids[at] == prompt[at]:
        at += 1
    return Encoded(ids[:at], ids[at:]) if at else Encoded(ids, [])


def _apart(queries: list[str], prompts: list[str] | None) -> tuple[list[str], list[str]]:
    """Prompts and responses; a head that pools the response alone must know where it begins."""
    if prompts is None:
        raise bad("this head reads the response by itself, so send prompts beside query")
    for k, (query, prompt) in enumerate(zip(queries, prompts, strict=True), start=1):
        if not query.startswith(prompt):
            raise bad(f"query {k} does not begin with its prompt, so its response cannot be told from it")
    return prompts, [query[len(prompt) :] for query, prompt in zip(queries, prompts, strict=True)]


def _pieces(prompts: list[str], responses: list[str], tokens: Tokens) -> list[Encoded]:
    """The tokens of prompts and responses; special tokens at a response's end are no part of it."""
    firsts, rests = tokens.of_parts(prompts, opens=True), tokens.of_parts(responses, opens=False)
    return [Encoded(first, _bare(rest, tokens)) for first, rest in zip(firsts, rests, strict=True)]


def _bare(ids: list[int], tokens: Tokens) -> list[int]:
    end = len(ids)
    while end and ids[end - 1] in tokens.special:
        end -= 1
    return ids[:end]


def _reply(scored: ScoredTexts) -> dict[str, Any]:
    scores = scored.score.tolist()
    return {
        "rewards": scores,
        "scores": scores,
        "extra_logs": {"truncated": scored.truncated.astype(float).tolist()},
    }
