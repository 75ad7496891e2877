"""Tokenises prompts and responses, cut to a limit where necessary.

Some tokenizers, such as SentencePiece's, put a space before each text they are given. A response or a closing
follows other text, so it is tokenised without that space.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
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
    frames,
    special_names,
)

_SPLITS_AT_SPACE = {"WhitespaceSplit", "Whitespace", "BertPreTokenizer"}
_UNPREFIXED: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # tokenizer -> its copy that adds no space


@dataclass(frozen=True)
class Encoded:
    """Token ids of prompt and response.

    truncated: whether something was cut; closing: how many of the response's last tokens are the template's.
    """

    prompt: list[int]
    response: list[int]
    truncated: bool = False
    closing: int = 0


def encode(
    exchange: Exchange, template: TemplateName, tokenizer: Any, max_tokens: int, closing: bool = False
) -> Encoded:
    """Tokenises prompt and response.

    If too long, the start of the prompt is cut, then the end of the response.
    """
    return encode_all([exchange], template, tokenizer, max_tokens, closing)[0]


def encode_all(
    exchanges: Sequence[Exchange],
    template: TemplateName,
    tokenizer: Any,
    max_tokens: int,
    closing: bool = False,
) -> list[Encoded]:
    """Tokenises many as `encode` does, faster: each prompt is rendered once, and texts are batched."""
    if max_tokens < 1:
        raise InputError(f"a limit of {max_tokens} tokens leaves no room for a prompt; raise max_tokens")
    keys = [prompt_key(e.messages) for e in exchanges]
    distinct = dict(zip(keys, (e.messages for e in exchanges), strict=True))
    framed = dict(zip(distinct, frames(list(distinct.values()), template, tokenizer), strict=True))
    begin = begin_tokens(tokenizer)
    prompts = dict(zip(framed, prompt_ids(list(framed.values()), tokenizer, begin), strict=True))
    ends = closing_ids(framed.values(), tokenizer) if closing else {}
    names = special_names(tokenizer)
    texts = [answered(framed[key], e.response).response for key, e in zip(keys, exchanges, strict=True)]
    responses = token_ids([apart(text, breaks_in(text, names)) for text in texts], tokenizer, opens=False)
    return [
        fit(Encoded(prompts[key], response + ends.get(framed[key].closing, [])), max_tokens, begin)
        for key, response in zip(keys, responses, strict=True)
    ]


def encode_prompt(rendered: Rendered, template: TemplateName, tokenizer: Any) -> list[int]:
    """Tokenises a prompt, with one begin-of-sequence token if the tokenizer uses one."""
    return prompt_ids([rendered], tokenizer, begin_tokens(tokenizer))[0]


def cut_prompt(prompt: list[int], limit: int, tokenizer: Any) -> list[int]:
    """Returns the end of a prompt, after its begin token if it has one. limit: at least 1."""
    return _cut(prompt, limit, begin_tokens(tokenizer)) if len(prompt) > limit else prompt


def prompt_key(messages: Sequence[Message]) -> tuple[tuple[str, str], ...]:
    """Returns what equal prompts share."""
    return tuple((m["role"], m["content"]) for m in messages)


def prompt_ids(framed: list[Rendered], tokenizer: Any, begin: list[int]) -> list[list[int]]:
    """Tokenises prompts, each with the begin tokens before it."""
    rows = token_ids([apart(f.prompt, f.breaks) for f in framed], tokenizer, opens=True)
    rows = [ids if ids[: len(begin)] == begin else begin + ids for ids in rows]
    if not all(rows):
        raise InputError("a prompt has no tokens; give it some text")
    return rows


def closing_ids(framed: Iterable[Rendered], tokenizer: Any) -> dict[str, list[int]]:
    """Returns the tokens of each closing by its text."""
    texts = list({f.closing for f in framed})
    return dict(zip(texts, token_ids([[text] for text in texts], tokenizer, opens=False), strict=True))


def fit(row: Encoded, limit: int, begin: list[int]) -> Encoded:
    """Cuts the start of the prompt, then the end of the response, but no closing, to the limit in tokens."""
    prompt, response = row.prompt, row.response
    if len(prompt) + len(response) <= limit:
        return row
    begins = bool(begin) and prompt[: len(begin)] == begin
    least = min(len(prompt), 1 + len(begin) * begins)  # its begin tokens and its last one
    room = max(0, limit - least)
    closing = response[len(response) - min(row.closing, room) :]  # its end, which is what is pooled
    kept = response[: len(response) - row.closing][: room - len(closing)] + closing
    return Encoded(_cut(prompt, limit - len(kept), begin), kept, truncated=True, closing=len(closing))


def _cut(prompt: list[int], limit: int, begin: list[int]) -> list[int]:
    if len(prompt) <= limit:
        return prompt
    if begin and prompt[: len(begin)] == begin and limit > len(begin):
        return [*begin, *prompt[len(begin) + len(prompt) - limit :]]
    return prompt[len(prompt) - limit :]


def context_length(config: Any, tokenizer: Any) -> int:
    """Returns the longest input of a model by its configuration and tokenizer, in tokens."""
    sizes = [getattr(config, name, None) for name in ("max_position_embeddings", "n_positions")]
    sizes.append(getattr(tokenizer, "model_max_length", None))
    known = [int(s) for s in sizes if isinstance(s, int | float) and 1 <= s < 10**7]
    return min(known) if known else 4096


def token_ids(rows: Sequence[Sequence[str]], tokenizer: Any, opens: bool) -> list[list[int]]:
    """Tokenises rows of pieces, without begin and end tokens. opens: whether first pieces begin a text."""
    encode_first = _opening if opens else _following
    firsts = encode_first([pieces[0] for pieces in rows], tokenizer)
    others = iter(_following([piece for pieces in rows for piece in pieces[1:]], tokenizer))
    return [
        first + [token for _ in pieces[1:] for token in next(others)]
        for first, pieces in zip(firsts, rows, strict=True)
    ]


def begin_tokens(tokenizer: Any) -> list[int]:
    """Returns the tokens that the tokenizer puts before a text: [bos], an encoder's [cls], or none."""
    return _around(tokenizer)[0]


def end_tokens(tokenizer: Any) -> list[int]:
    """Returns the tokens that the tokenizer puts after a text: an encoder's [sep], [eos], or none."""
    return _around(tokenizer)[1]


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Returns begin and end tokens."""
    bare, whole = _opening(["a"], tokenizer)[0], list(tokenizer("a")["input_ids"])
    starts = range(len(whole) - len(bare) + 1)
    start = next((i for i in starts if whole[i : i + len(bare)] == bare), None)
    return ([], []) if start is None else (whole[:start], whole[start + len(bare) :])


def response_text(tokens: Sequence[int], tokenizer: Any) -> str:
    """Decodes generated tokens, with the first space, which decoding them alone may drop."""
    before = _following(["a"], tokenizer)[0]
    options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    whole = str(tokenizer.decode([*before, *tokens], **options))
    return whole[len(tokenizer.decode(before, **options)) :]


def _opening(texts: list[str], tokenizer: Any) -> list[list[int]]:
    """Tokenises texts that begin a text."""
    if not texts:
        return []
    ids = tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
    return [list(row) for row in ids]


def _following(texts: list[str], tokenizer: Any) -> list[list[int]]:
    """Tokenises texts that follow others."""
    backend = _unprefixed(tokenizer)
    if backend is None:
        return _opening(texts, tokenizer)
    return [e.ids for e in backend.encode_batch(texts, add_special_tokens=False)]


def _unprefixed(tokenizer: Any) -> Any:
    """Returns a copy of the tokenizer's engine that adds no space; None if the engine adds none."""
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
    """Returns the state of a normalizer or pre-tokenizer without the option that adds a space."""
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
        return state  # its prefix marks all words, since spaces were removed before
    parts = [_without_prefix(part) for part in state[name]]
    return {**state, name: [part for part in parts if part is not None]}
