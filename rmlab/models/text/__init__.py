"""One rendering of messages and response for SFT, sampling, golden scoring and embedding.

The content is the same for every model; the template is each model's own.
Prompt and response are tokenised apart, so the border between them is always the same token border.
"""
