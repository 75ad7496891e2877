"""POST /score: rmlab's own form, and slime's, which is one text."""

from __future__ import annotations

from typing import Any

from rmlab.reward.scored import ScoredTexts
from rmlab.serve.asked import Asked, Desk
from rmlab.serve.body import listed
from rmlab.serve.refusals import bad

_SEVERAL, _TALKS, _ONE = {"prompts", "responses"}, {"messages"}, {"prompt", "response"}
_BESIDE = {"label", "labels"}  # of others, and of no use here


def read_score(body: dict[str, Any], desk: Desk) -> Asked:
    """Reads prompts with responses, conversations as messages, or one prompt with its response."""
    given = set(body) - _BESIDE
    if given == _ONE:
        return Asked(desk.texts([body["prompt"]], [body["response"]]), lambda scored: _one(_reply(scored)))
    if given == _SEVERAL:
        prompts, responses = (listed(body, key, desk.limits) for key in ("prompts", "responses"))
        return Asked(desk.texts(prompts, responses), _reply)
    if given == _TALKS:
        talks = [split_talk(talk, k) for k, talk in enumerate(listed(body, "messages", desk.limits), start=1)]
        prompts, responses = map(list, zip(*talks, strict=True))
        return Asked(desk.texts(prompts, responses), _reply)
    found = ", ".join(sorted(body)[:9])[:200] or "nothing"
    raise bad(f"send prompts with responses, messages, or one prompt with its response; got {found}")


def split_talk(talk: Any, k: int) -> tuple[list[Any], list[Any]]:
    """The prompt and the response of a conversation that ends with the assistant's message."""
    if not isinstance(talk, list) or len(talk) < 2:
        raise bad(f"text {k}: messages must be a list of a prompt's messages and the assistant's")
    last = talk[-1]
    if not isinstance(last, dict) or last.get("role") != "assistant":
        raise bad(f"text {k}: its last message must be the assistant's, which is scored")
    return talk[:-1], [last]


def _reply(scored: ScoredTexts) -> dict[str, Any]:
    said: dict[str, Any] = {
        "scores": scored.score.tolist(),
        "n_tokens": scored.n_tokens.tolist(),
        "truncated": scored.truncated.tolist(),
    }
    if n := int(scored.truncated.sum()):
        said["warnings"] = [f"{n} texts were longer than the embedding model reads and were cut"]
    return said


def _one(said: dict[str, Any]) -> dict[str, Any]:
    """The response for one text, with `score` beside the lists."""
    return {"score": said["scores"][0], **said}
