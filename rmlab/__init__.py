"""rmlab: reward-model research over cached embeddings."""

__version__ = "0.1.0"
