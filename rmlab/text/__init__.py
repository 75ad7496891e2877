"""One rendering of messages and response for SFT, sampling, golden scoring and embedding.

The content is the same for every model; the template is each model's own.
Prompt and response are tokenised apart, so the border between them is always the same token border.
"""

from rmlab.text.context import context_length
from rmlab.text.encoding import Encoded, cut_prompt, encode, encode_all, encode_prompt
from rmlab.text.rendering import Exchange, Message, Rendered, render, template_hash
from rmlab.text.tokens import end_tokens, response_text

__all__ = [
    "Encoded",
    "Exchange",
    "Message",
    "Rendered",
    "context_length",
    "cut_prompt",
    "encode",
    "encode_all",
    "encode_prompt",
    "end_tokens",
    "render",
    "response_text",
    "template_hash",
]
