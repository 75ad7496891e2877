"""The templates of rmlab as chat templates that other programs render, for a model that leaves home."""

from __future__ import annotations

from typing import Any

from rmlab.config.settings import TemplateName
from rmlab.errors import InputError
from rmlab.models.text.chat_template import render_by, undated
from rmlab.models.text.rendering import Exchange
from rmlab.models.text.tokens import begin_tokens
from rmlab.models.text.whole_text import encode_whole

_PLAIN = (
    "{%- for message in messages -%}"
    "{%- set answers = loop.last and message['role'] == 'assistant' -%}"
    "{%- if not (loop.first or answers) -%}{{ '\\n\\n' }}{%- endif -%}"
    "{{ message['content'] }}"
    "{%- endfor -%}"
)
_HH = (
    "{%- set names = {'user': 'Human', 'assistant': 'Assistant', 'system': 'System'} -%}"
    "{%- for message in messages -%}"
    "{%- if message['role'] not in names -%}{{ raise_exception('no name for this role') }}{%- endif -%}"
    "{{ '\\n\\n' + names[message['role']] + ':' }}"
    "{%- if loop.last and message['role'] == 'assistant' -%}"
    "{%- if not message['content'][:1].isspace() -%}{{ ' ' }}{%- endif -%}{{ message['content'] }}"
    "{%- else -%}{{ ' ' + message['content'] | trim }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '\\n\\nAssistant:' }}{%- endif -%}"
)
_QUESTION = [{"role": "user", "content": "What is the time?"}]
_TALK = [
    *_QUESTION,
    {"role": "assistant", "content": "Noon."},
    {"role": "user", "content": "Thanks. And now?"},
]
_ANSWERS = ("It is one o'clock.", " One,\nI think.", "One")


def chat_template_of(template: TemplateName, tokenizer: Any) -> str:
    """Returns a chat template by which transformers makes the tokens that rmlab pools with pooling=end.

    It begins with the begin token where the tokenizer writes one that the template lacks, as programs that
    render conversations let no tokenizer add tokens. A template that shows the date shows rmlab's.
    """
    own = {"plain": _PLAIN, "hh": _HH}.get(template)
    shown = own if own is not None else undated(tokenizer.get_chat_template())
    begins = ("{{- bos_token -}}", "{{- bos_token + ' ' -}}") if tokenizer.bos_token else ()
    for before in ("", *begins):  # a space, as some tokenizers put one before a text
        candidate = before + shown
        if _renders_alike(candidate, template, tokenizer):
            return candidate
    raise InputError(
        f"no chat template makes the tokens that rmlab makes by the template {template} (begin tokens "
        f"{begin_tokens(tokenizer)}), so other programs would score other texts; use a model whose tokenizer "
        "begins a text with its bos_token or with nothing"
    )


def _renders_alike(candidate: str, template: TemplateName, tokenizer: Any) -> bool:
    """Whether a program that renders by the candidate makes the tokens of a few conversations."""
    exchanges = [Exchange("p", "r", prompt, answer) for prompt in (_QUESTION, _TALK) for answer in _ANSWERS]
    rows = encode_whole(exchanges, template, tokenizer, 10**6)
    talks = [[*e.messages, {"role": "assistant", "content": e.response}] for e in exchanges]
    texts = render_by(candidate, tokenizer, [(talk, False) for talk in talks])
    theirs = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return [row.prompt + row.response for row in rows] == [list(ids) for ids in theirs]
