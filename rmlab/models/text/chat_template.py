"""Chat templates of models, which are programs: rendered in the child process for strangers' files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from threading import Lock
from typing import Any

from rmlab.errors import InputError
from rmlab.storage.untrusted import ChildAnswer
from rmlab.storage.untrusted_bounds import TEMPLATE

Job = tuple[Sequence[Mapping[str, str]], bool]  # messages, and whether the prompt for the next answer follows
_TODAY = re.compile(r"""strftime_now\(\s*(['"])(.*?)\1\s*\)""")
_ONE_DAY = date(2024, 7, 26)  # the default of templates that show today's date
_DIED = (
    "its chat template takes too long to render, or breaks what renders it; mend it, or use a template that "
    "needs none: plain or hh"
)


class _Renderer:
    """The fork that has this template; a new one is asked for where it has ended."""

    def __init__(self, template: str, variables: tuple[tuple[str, str], ...], name: str) -> None:
        self._asked = {"template": template, "variables": dict(variables)}
        self._name = f"{name}:"
        self._answer: ChildAnswer | None = None
        self._lock = Lock()

    def __call__(self, jobs: Sequence[Job]) -> list[str]:
        with self._lock:
            if self._answer is None:
                self._answer = ChildAnswer(TEMPLATE, self._asked, self._name, _DIED)
            try:
                self._answer.ask(jobs)
                found: list[str] = self._answer.message()["texts"]
            except BaseException:  # also where an interruption leaves an answer unread
                self._answer.close()
                self._answer = None
                raise
            return found


def render_chats(tokenizer: Any, jobs: Sequence[Job]) -> list[str]:
    """The texts of conversations by the tokenizer's own template; InputError if it refuses them."""
    name = str(getattr(tokenizer, "name_or_path", "") or "this model")
    if not getattr(tokenizer, "chat_template", None):
        raise InputError(f"{name} has no chat template; use a template that needs none: plain or hh")
    try:
        template = undated(tokenizer.get_chat_template())
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: it has no chat template for a plain conversation ({error})") from None
    return render_by(template, tokenizer, jobs)


def render_by(template: str, tokenizer: Any, jobs: Sequence[Job]) -> list[str]:
    """The texts of conversations by a template of any origin, with the tokenizer's special tokens."""
    name = str(getattr(tokenizer, "name_or_path", "") or "this model")
    variables = tuple((k, str(v)) for k, v in tokenizer.special_tokens_map.items())
    return _renderer(template, variables, name, os.getpid())(jobs)


@lru_cache(maxsize=8)
def _renderer(template: str, variables: tuple[tuple[str, str], ...], name: str, process: int) -> _Renderer:
    """process: the one that asks, as a fork of it needs a connection of its own."""
    return _Renderer(template, variables, name)


def undated(chat_template: str) -> str:
    """Fixes the date that the template shows, so that stages on different days show the same prompt."""
    return _TODAY.sub(lambda call: repr(_ONE_DAY.strftime(call[2])), chat_template)
