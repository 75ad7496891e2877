"""Text -> token ids: text that opens a sequence, and text that follows other text.

The two differ for tokenizers that put a space before the text they are given (SentencePiece's habit):
a response or a closing that follows other text has no such space.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

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
