"""Tokenises prompt, response and closing as one text, as transformers, TRL and vLLM tokenise it.

Elsewhere prompt and response are tokenised apart. Here a token may span both, and a chat template sees the
whole conversation, as where another program renders it: so all of them end a text with the same token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rmlab.config.settings import TemplateName
from rmlab.errors import InputError
from rmlab.models.text.rendering import (
    Exchange,
    Rendered,
    answered,
    breaks_in,
    frames,
    special_names,
    whole_chats,
)
from rmlab.models.text.tokens import (
    Encoded,
    begin_tokens,
    closing_ids,
    fit,
    prompt_ids,
    prompt_key,
)


def encode_whole(
    exchanges: Sequence[Exchange], template: TemplateName, tokenizer: Any, max_tokens: int
) -> list[Encoded]:
    """Tokenises whole texts, with their closing tokens.

    An encoded prompt is what the text has in common with its prompt alone; the rest counts as its response.
    Of a text that is too long the start of the prompt is cut, then the end of the response, no closing.
    """
    if max_tokens < 1:
        raise InputError(f"a limit of {max_tokens} tokens leaves no room for a prompt; raise max_tokens")
    keys = [prompt_key(e.messages) for e in exchanges]
    distinct = dict(zip(keys, (e.messages for e in exchanges), strict=True))
    framed = dict(zip(distinct, frames(list(distinct.values()), template, tokenizer), strict=True))
    begin = begin_tokens(tokenizer)
    prompts = dict(zip(framed, prompt_ids(list(framed.values()), tokenizer, begin), strict=True))
    ends = closing_ids(framed.values(), tokenizer)
    if template == "chat":
        texts = whole_chats(exchanges, tokenizer)
    else:
        names = special_names(tokenizer)
        texts = [_whole(framed[key], e.response, names) for key, e in zip(keys, exchanges, strict=True)]
    return [
        fit(_split(ids, prompts[key], ends[framed[key].closing]), max_tokens, begin)
        for key, ids in zip(keys, prompt_ids(texts, tokenizer, begin), strict=True)
    ]


def _whole(framed: Rendered, response: str, names: Any) -> Rendered:
    shown = answered(framed, response).response
    at = len(framed.prompt)
    breaks = (*framed.breaks, *(at + k for k in breaks_in(shown, names)))
    return Rendered(framed.prompt + shown + framed.closing, "", "", breaks)


def _split(ids: list[int], prompt: list[int], closing: list[int]) -> Encoded:
    """Splits the tokens of a text where its prompt, at least a token, and its closing are recognised."""
    at = max(1, _in_common(ids, prompt))
    rest = ids[at:]
    return Encoded(ids[:at], rest, closing=_in_common(rest[::-1], closing[::-1]))


def _in_common(one: Sequence[int], other: Sequence[int]) -> int:
    """Returns how many tokens both begin with."""
    pairs = zip(one, other, strict=False)
    return next((k for k, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
