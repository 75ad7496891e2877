"""Prompts and responses as token ids, cut to a limit where they must be.

The two differ for tokenizers that put a space before the text they are given (SentencePiece's habit):
a response or a closing that follows other text has no such space.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from rmlab.config.settings import TemplateName
from rmlab.errors import InputError
from rmlab.models.text.rendering import (
    Exchange,
    Message,
    Rendered,
    answered,
    apart,
    breaks_in,
    frame,
    special_names,
)

_SPLITS_AT_SPACE = {"WhitespaceSplit", "Whitespace", "BertPreTokenizer"}
_UNPREFIXED: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # tokenizer -> its copy that adds no space


def token_ids(rows: Sequence[Sequence[str]], tokenizer: Any, opens: bool) -> list[list[int]]:
    """Ids of each row of pieces, without begin and end tokens; opens: its first piece begins a text."""
    encode_first = _opening if opens else _following
    firsts = encode_first([pieces[0] for pieces in rows], tokenizer)
    others = iter(_following([piece for pieces in rows for piece in pieces[1:]], tokenizer))
    return [
        first + [token for _ in pieces[1:] for token in next(others)]
        for first, pieces in zip(firsts, rows, strict=True)
    ]


def begin_tokens(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before plain text: [bos], an encoder's [cls], or nothing."""
    return _around(tokenizer)[0]


def end_tokens(tokenizer: Any) -> list[int]:
    """What the tokenizer puts after plain text: an encoder's [sep], some models' [eos], or nothing."""
    return _around(tokenizer)[1]


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    bare, whole = _opening(["a"], tokenizer)[0], list(tokenizer("a")["input_ids"])
    starts = range(len(whole) - len(bare) + 1)
    start = next((i for i in starts if whole[i : i + len(bare)] == bare), None)
    return ([], []) if start is None else (whole[:start], whole[start + len(bare) :])


def response_text(tokens: Sequence[int], tokenizer: Any) -> str:
    """The text that generated tokens add to a prompt: with its first space, which decoding alone may drop."""
    before = _following(["a"], tokenizer)[0]
    options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    whole = str(tokenizer.decode([*before, *tokens], **options))
    return whole[len(tokenizer.decode(before, **options)) :]


def _opening(texts: list[str], tokenizer: Any) -> list[list[int]]:
    if not texts:
        return []
    ids = tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
    return [list(row) for row in ids]


def _following(texts: list[str], tokenizer: Any) -> list[list[int]]:
    backend = _unprefixed(tokenizer)
    if backend is None:
        return _opening(texts, tokenizer)
    return [e.ids for e in backend.encode_batch(texts, add_special_tokens=False)]


def _unprefixed(tokenizer: Any) -> Any:
    """The tokenizer's own engine, told to add no space; None where it adds none anyway."""
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    parts = {"normalizer": _state(backend.normalizer), "pre_tokenizer": _state(backend.pre_tokenizer)}
    plain = {name: _without_prefix(part) for name, part in parts.items()}
    if plain == parts:
        return None
    if tokenizer not in _UNPREFIXED:
        state = {**json.loads(backend.to_str()), **plain, "truncation": None, "padding": None}
        _UNPREFIXED[tokenizer] = Tokenizer.from_str(json.dumps(state))
    return _UNPREFIXED[tokenizer]


def _state(component: Any) -> Any:
    return None if component is None else json.loads(component.__getstate__())


def _without_prefix(state: Any) -> Any:
    """A normalizer or pre-tokenizer as it would be if it put no space before the text."""
    kind = state["type"] if state else None
    if kind == "Prepend":
        return None
    if kind == "Metaspace":
        return {**state, "prepend_scheme": "never"}
    if kind == "ByteLevel" and "add_prefix_space" in state:
        return {**state, "add_prefix_space": False}
    if kind != "Sequence":
        return state
    name = "normalizers" if "normalizers" in state else "pretokenizers"
    if any(part["type"] in _SPLITS_AT_SPACE for part in state[name]):
        return state  # its prefix marks words, not the start: spaces are gone by then
    parts = [_without_prefix(part) for part in state[name]]
    return {**state, name: [part for part in parts if part is not None]}


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


def context_length(config: Any, tokenizer: Any) -> int:
    """The longest input of a model, by its configuration and its tokenizer."""
    sizes = [getattr(config, name, None) for name in ("max_position_embeddings", "n_positions")]
    sizes.append(getattr(tokenizer, "model_max_length", None))
    known = [int(s) for s in sizes if s and 0 < s < 10**7]
    return min(known) if known else 4096
