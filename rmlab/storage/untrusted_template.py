"""A stranger's chat template, which is a program, run within the bounds of untrusted_child.py.

A fork keeps one template, and renders as many conversations as it is sent; each within SECONDS of processor
time, beyond which the system ends the fork.
"""

from __future__ import annotations

import json
import signal
from multiprocessing.connection import Connection
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template

from rmlab.storage.untrusted_bounds import Refused, tell

SECONDS = 5
_INSTEAD = "or use a template that needs none: plain or hh"
_ADDED, _TIMES = 2**20, 8  # characters that a template may add to those of the messages, and times these


def answer(to: Connection, asked: dict[str, Any], size: int) -> None:
    """asked: the template and its variables. Then come lists of [messages, whether a prompt for the next
    answer follows], each of which is answered by a list of texts, until the connection is closed."""
    template, variables = asked["template"], asked["variables"]
    while True:
        data = to.recv_bytes()
        tell(to, {"texts": [_rendered(template, variables, *job) for job in json.loads(data)]})


def _rendered(template: str, variables: dict[str, Any], messages: list[dict[str, str]], prompts: bool) -> str:
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        [text], _ = render_jinja_template(
            conversations=[messages], chat_template=template, add_generation_prompt=prompts, **variables
        )
    except MemoryError:
        raise Refused(f"its chat template takes more memory than it may; mend it, {_INSTEAD}") from None
    except Exception as error:  # a template calls what it likes
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise Refused(
            f"its chat template refuses the messages ({reason}); change their roles, {_INSTEAD}"
        ) from None
    signal.setitimer(signal.ITIMER_PROF, 0)
    if len(text) > (most := _ADDED + _TIMES * sum(len(m["content"]) for m in messages)):
        raise Refused(
            f"its chat template makes {len(text):,} characters, not at most {most:,}; mend it, {_INSTEAD}"
        )
    return str(text)
