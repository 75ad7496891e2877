"""Heads and embedding sets on a model hub: their cards, what is sent, and what may be fetched."""
