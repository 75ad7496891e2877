"""Renders messages and a response as the text that a model sees, by one of three templates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any

from rmlab.config.settings import TemplateName
from rmlab.errors import InputError
from rmlab.models.text.chat_template import render_chats
from rmlab.storage.digest import digest

Message = dict[str, str]
_STAND_IN = "rmlab-response-stand-in"
_HH_NAMES = {"user": "Human", "assistant": "Assistant", "system": "System"}


@dataclass(frozen=True)
class Exchange:
    """A response to a prompt, with the ids that every table joins on."""

    prompt_id: str
    response_id: str
    messages: list[Message]
    response: str


@dataclass(frozen=True)
class Rendered:
    """The text that a model sees, prompt + response + closing.

    breaks: where to split the prompt, so that content that spells a special token stays plain text.
    """

    prompt: str
    response: str
    closing: str
    breaks: tuple[int, ...] = ()


def render(messages: Sequence[Message], response: str, template: TemplateName, tokenizer: Any) -> Rendered:
    """Renders messages and a response."""
    return answered(frame(messages, template, tokenizer), response)


def frame(messages: Sequence[Message], template: TemplateName, tokenizer: Any) -> Rendered:
    """Renders all but the response, in whose place is the space that the template puts before it."""
    return frames([messages], template, tokenizer)[0]


def frames(many: Sequence[Sequence[Message]], template: TemplateName, tokenizer: Any) -> list[Rendered]:
    """Renders many conversations as `frame` does, faster."""
    marked = [_marked(messages, tokenizer) for messages in many]
    conversations = [messages for messages, _ in marked]
    if template == "plain":
        shown = [Rendered("\n\n".join(m["content"] for m in messages), "", "") for messages in conversations]
    elif template == "hh":
        shown = [Rendered("".join(map(_hh_turn, c)) + "\n\nAssistant:", " ", "") for c in conversations]
    else:
        shown = _chats(conversations, tokenizer)
    return [_unmarked(found, mark) for found, (_, mark) in zip(shown, marked, strict=True)]


def _unmarked(shown: Rendered, mark: str) -> Rendered:
    if not mark:
        return shown
    pieces = shown.prompt.split(mark)
    return replace(shown, prompt="".join(pieces), breaks=tuple(accumulate(map(len, pieces[:-1]))))


def answered(framed: Rendered, response: str) -> Rendered:
    """Adds the response, after the template's space unless it begins with a space of its own."""
    return replace(framed, response=response if response[:1].isspace() else framed.response + response)


def _marked(messages: Sequence[Message], tokenizer: Any) -> tuple[Sequence[Message], str]:
    """Returns the messages with a mark at each break of their contents, and the mark; "" without breaks."""
    names = special_names(tokenizer)
    texts = [m["content"] for m in messages]
    breaks = [breaks_in(text, names) for text in texts]
    if not any(breaks):
        return messages, ""
    mark = next(c for c in map(chr, range(0xE000, 0xF900)) if not any(c in text for text in texts))
    contents = [mark.join(apart(text, at)) for text, at in zip(texts, breaks, strict=True)]
    return [{**m, "content": c} for m, c in zip(messages, contents, strict=True)], mark


def _hh_turn(message: Message) -> str:
    """Renders a message by the template hh."""
    if message["role"] not in _HH_NAMES:
        raise InputError(
            f"template hh has no name for the role {message['role']!r}; use {', '.join(_HH_NAMES)}"
        )
    return f"\n\n{_HH_NAMES[message['role']]}: {message['content'].strip()}"


def _chats(conversations: Sequence[Sequence[Message]], tokenizer: Any) -> list[Rendered]:
    """Renders by the tokenizer's chat template."""
    # a stand-in shows what the template puts around a response, even where it trims or wraps content
    stand_in = {"role": "assistant", "content": _STAND_IN}
    jobs = [job for c in conversations for job in ((c, True), ([*c, stand_in], False))]
    texts = render_chats(tokenizer, jobs)
    return [_chat(prompt, whole) for prompt, whole in zip(texts[::2], texts[1::2], strict=True)]


def whole_chats(exchanges: Sequence[Exchange], tokenizer: Any) -> list[Rendered]:
    """Renders prompts with their responses by the chat template, each as one text, the `prompt` of what is
    returned."""
    talks = [[*e.messages, {"role": "assistant", "content": e.response}] for e in exchanges]
    marked = [_marked(messages, tokenizer) for messages in talks]
    texts = render_chats(tokenizer, [(messages, False) for messages, _ in marked])
    return [_unmarked(Rendered(t, "", ""), mark) for t, (_, mark) in zip(texts, marked, strict=True)]


def _chat(prompt: str, whole: str) -> Rendered:
    before, found, closing = whole.rpartition(_STAND_IN)
    lead = before[len(prompt) :] if before.startswith(prompt) else ""
    # only space is kept: anything else there, such as an empty thinking block, is for the model to write
    return Rendered(prompt, lead if lead.isspace() else "", closing if found else "")


def template_hash(template: TemplateName, tokenizer: Any) -> str:
    """Returns a hash of the template, which is kept in the artifact of each stage that renders text."""
    own = getattr(tokenizer, "chat_template", None) if template == "chat" else None
    return digest({"template": template, "chat_template": own, **_variables(own, tokenizer)})[:16]


def _variables(chat_template: Any, tokenizer: Any) -> dict[str, str]:
    """Returns the special tokens that a chat template refers to by name, such as bos_token."""
    texts = chat_template.values() if isinstance(chat_template, dict) else [chat_template or ""]
    tokens = tokenizer.special_tokens_map.items() if chat_template else ()
    return {name: str(token) for name, token in tokens if any(name in text for text in texts)}


def special_names(tokenizer: Any) -> re.Pattern[str] | None:
    """Returns a pattern for the first character of each special token's name; None without such tokens."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    return _first_characters(tuple(t.content for t in added if t.special and len(t.content) > 1))


@lru_cache(maxsize=64)
def _first_characters(names: tuple[str, ...]) -> re.Pattern[str] | None:
    if not names:
        return None
    firsts = "".join(
        sorted({re.escape(name[0]) for name in names})
    )  # tried first, since there may be thousands of names
    return re.compile(f"(?=[{firsts}])(?={'|'.join(map(re.escape, names))}).", re.DOTALL)


def breaks_in(text: str, names: re.Pattern[str] | None) -> tuple[int, ...]:
    """Returns the positions at which to split a text so that no special token's name stays whole."""
    return tuple(m.end() for m in names.finditer(text)) if names else ()


def apart(text: str, breaks: tuple[int, ...]) -> list[str]:
    """Returns the pieces of the text, at least one, split at the breaks."""
    return [text[a:b] for a, b in pairwise((0, *breaks, len(text)))]
