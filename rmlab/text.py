"""One rendering of messages and response for SFT, sampling, golden scoring and embedding.

The content is the same for every model; the template is each model's own.
Prompt and response are tokenised apart, so the border between them is always the same token border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rmlab.artifacts.fingerprint import digest
from rmlab.errors import InputError
from rmlab.settings import TemplateName

Message = dict[str, str]
_STAND_IN = "rmlab-response-stand-in"


@dataclass(frozen=True)
class Exchange:
    """A response to a prompt, with the ids that every table joins on."""

    prompt_id: str
    response_id: str
    messages: list[Message]
    response: str


@dataclass(frozen=True)
class Rendered:
    """The text a model sees is prompt + response + closing."""

    prompt: str
    response: str
    closing: str


@dataclass(frozen=True)
class Encoded:
    """Token ids of prompt and response; truncated says that something was cut to fit."""

    prompt: list[int]
    response: list[int]
    truncated: bool = False


def render(messages: Sequence[Message], response: str, template: TemplateName, tokenizer: Any) -> Rendered:
    if template == "plain":
        return Rendered("\n\n".join(m["content"] for m in messages), response, "")
    if template == "hh":
        return _render_hh(messages, response)
    return _render_chat(messages, response, tokenizer)


def _render_hh(messages: Sequence[Message], response: str) -> Rendered:
    names = {"user": "Human", "assistant": "Assistant", "system": "System"}
    turns = [f"\n\n{names.get(m['role'], 'Human')}: {m['content'].strip()}" for m in messages]
    space = "" if response[:1].isspace() else " "
    return Rendered("".join(turns) + "\n\nAssistant:", space + response, "")


def _render_chat(messages: Sequence[Message], response: str, tokenizer: Any) -> Rendered:
    if not getattr(tokenizer, "chat_template", None):
        name = getattr(tokenizer, "name_or_path", "this model")
        raise InputError(f"{name} has no chat template; use a template that needs none: plain or hh")
    prompt = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    # a stand-in shows what the template puts after a response, even where it trims or wraps content
    whole = [*messages, {"role": "assistant", "content": _STAND_IN}]
    full = tokenizer.apply_chat_template(whole, tokenize=False)
    return Rendered(prompt, response, full.rpartition(_STAND_IN)[2] if _STAND_IN in full else "")


def template_hash(template: TemplateName, tokenizer: Any) -> str:
    """Names the rendering: kept in the artifact of every stage that shows text to a model."""
    own = getattr(tokenizer, "chat_template", None) if template == "chat" else None
    return digest({"template": template, "chat_template": own})[:16]


def encode_prompt(rendered: Rendered, template: TemplateName, tokenizer: Any) -> list[int]:
    """Token ids of the prompt, with one begin-of-sequence token where the tokenizer uses one."""
    ids = tokenizer(rendered.prompt, add_special_tokens=False)["input_ids"]
    begin = _begin_tokens(tokenizer)
    if begin and ids[: len(begin)] != begin:
        ids = [*begin, *ids]
    if not ids:
        raise InputError("a prompt has no tokens; give it some text")
    return ids


def _begin_tokens(tokenizer: Any) -> list[int]:
    """[bos], or an encoder's [cls], if the tokenizer puts it before plain text, else nothing."""
    first = tokenizer("a")["input_ids"][:1]
    known = [tokenizer.bos_token_id, getattr(tokenizer, "cls_token_id", None)]
    return first if first and first[0] in [t for t in known if t is not None] else []


def end_tokens(tokenizer: Any) -> list[int]:
    """[sep] if the tokenizer is an encoder's that puts it after plain text, else nothing."""
    sep = getattr(tokenizer, "sep_token_id", None)
    return [sep] if sep is not None and tokenizer("a")["input_ids"][-1:] == [sep] else []


def cut_prompt(prompt: list[int], limit: int, tokenizer: Any) -> list[int]:
    """The end of a prompt, and its begin token if it has one; limit is at least 1."""
    if len(prompt) <= limit:
        return prompt
    begin = _begin_tokens(tokenizer)
    if begin and prompt[: len(begin)] == begin and limit > len(begin):
        return [*begin, *prompt[len(begin) + len(prompt) - limit :]]
    return prompt[len(prompt) - limit :]


def encode(
    exchange: Exchange, template: TemplateName, tokenizer: Any, max_tokens: int, closing: bool = False
) -> Encoded:
    """Token ids of prompt and response. What is too long loses the start of its prompt, then its end."""
    rendered = render(exchange.messages, exchange.response, template, tokenizer)
    prompt = encode_prompt(rendered, template, tokenizer)
    text = rendered.response + (rendered.closing if closing else "")
    response = tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
    if len(prompt) + len(response) <= max_tokens:
        return Encoded(prompt, response)
    response = response[: max_tokens - 1]
    return Encoded(cut_prompt(prompt, max_tokens - len(response), tokenizer), response, truncated=True)


def context_length(config: Any, tokenizer: Any) -> int:
    """The longest input of a model, by its configuration and its tokenizer."""
    sizes = [getattr(config, name, None) for name in ("max_position_embeddings", "n_positions")]
    sizes.append(getattr(tokenizer, "model_max_length", None))
    known = [int(s) for s in sizes if s and 0 < s < 10**7]
    return min(known) if known else 4096
