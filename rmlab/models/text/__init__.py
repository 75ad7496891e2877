"""The rendering of messages and responses for SFT, sampling, golden scoring and embedding.

The content is the same for every model; the template is each model's own.
Prompt and response are tokenised apart, so that a token never spans both.
"""
