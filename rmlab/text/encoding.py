"""Exchanges -> token ids of prompt and response, cut to a limit where they must be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rmlab.errors import InputError
from rmlab.settings import TemplateName
from rmlab.text.literal import apart, breaks_in, special_names
from rmlab.text.rendering import Exchange, Message, Rendered, answered, frame
from rmlab.text.tokens import begin_tokens, token_ids


@dataclass(frozen=True)
class Encoded:
    """Token ids of prompt and response; truncated says that something was cut to fit."""

    prompt: list[int]
    response: list[int]
    truncated: bool = False


def encode(
    exchange: Exchange, template: TemplateName, tokenizer: Any, max_tokens: int, closing: bool = False
) -> Encoded:
    """Token ids of prompt and response. What is too long loses the start of its prompt, then its end."""
    return encode_all([exchange], template, tokenizer, max_tokens, closing)[0]


def encode_all(
    exchanges: Sequence[Exchange],
    template: TemplateName,
    tokenizer: Any,
    max_tokens: int,
    closing: bool = False,
) -> list[Encoded]:
    """encode() of each, much faster: a prompt is rendered once, and all texts are tokenised together."""
    if max_tokens < 1:
        raise InputError(f"a limit of {max_tokens} tokens leaves no room for a prompt; raise max_tokens")
    keys = [_key(e.messages) for e in exchanges]
    distinct = dict(zip(keys, (e.messages for e in exchanges), strict=True))
    frames = {key: frame(messages, template, tokenizer) for key, messages in distinct.items()}
    begin = begin_tokens(tokenizer)
    prompts = dict(zip(frames, _prompts(list(frames.values()), tokenizer, begin), strict=True))
    ends = _closings(frames.values(), tokenizer) if closing else {}
    names = special_names(tokenizer)
    texts = [answered(frames[key], e.response).response for key, e in zip(keys, exchanges, strict=True)]
    responses = token_ids([apart(text, breaks_in(text, names)) for text in texts], tokenizer, opens=False)
    return [
        _fit(prompts[key], response + ends.get(frames[key].closing, []), max_tokens, begin)
        for key, response in zip(keys, responses, strict=True)
    ]


def encode_prompt(rendered: Rendered, template: TemplateName, tokenizer: Any) -> list[int]:
    """Token ids of the prompt, with one begin-of-sequence token where the tokenizer uses one."""
    return _prompts([rendered], tokenizer, begin_tokens(tokenizer))[0]


def cut_prompt(prompt: list[int], limit: int, tokenizer: Any) -> list[int]:
    """The end of a prompt, and its begin token if it has one; limit is at least 1."""
    return _cut(prompt, limit, begin_tokens(tokenizer)) if len(prompt) > limit else prompt


def _key(messages: Sequence[Message]) -> tuple[tuple[str, str], ...]:
    return tuple((m["role"], m["content"]) for m in messages)


def _prompts(framed: list[Rendered], tokenizer: Any, begin: list[int]) -> list[list[int]]:
    rows = token_ids([apart(f.prompt, f.breaks) for f in framed], tokenizer, opens=True)
    rows = [ids if ids[: len(begin)] == begin else begin + ids for ids in rows]
    if not all(rows):
        raise InputError("a prompt has no tokens; give it some text")
    return rows


def _closings(framed: Any, tokenizer: Any) -> dict[str, list[int]]:
    texts = list({f.closing for f in framed})
    return dict(zip(texts, token_ids([[text] for text in texts], tokenizer, opens=False), strict=True))


def _fit(prompt: list[int], response: list[int], limit: int, begin: list[int]) -> Encoded:
    if len(prompt) + len(response) <= limit:
        return Encoded(prompt, response)
    begins = bool(begin) and prompt[: len(begin)] == begin
    least = min(len(prompt), 1 + len(begin) * begins)  # its begin tokens and its last one
    response = response[: max(0, limit - least)]
    return Encoded(_cut(prompt, limit - len(response), begin), response, truncated=True)


def _cut(prompt: list[int], limit: int, begin: list[int]) -> list[int]:
    if len(prompt) <= limit:
        return prompt
    if begin and prompt[: len(begin)] == begin and limit > len(begin):
        return [*begin, *prompt[len(begin) + len(prompt) - limit :]]
    return prompt[len(prompt) - limit :]
