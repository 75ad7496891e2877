"""The lines by which a reader of the report uses the head that was just fitted."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

_TEXTS = """from rmlab import RewardModel

model = RewardModel.load({head!r})
scores = model.score(["How are you?", "How are you?"], ["I am well, thank you.", "Go away."])
print(scores)"""
_VECTORS = """from rmlab import RewardModel

model = RewardModel.load({head!r})
scores = model.score_embeddings({embeddings!r})
print(scores)"""


@dataclass(frozen=True)
class UseIt:
    """python: five lines; shell: commands."""

    python: str
    shell: list[str]


def use_of(head: str, embeddings: str, embedder: str, is_classifier: bool) -> UseIt:
    """Returns what can be done with a head.

    head, embeddings: folders of artifacts; embedder: its name; is_classifier: whether a sequence classifier
    can be made of it.
    """
    if embedder in ("file", "arrays"):  # vectors from elsewhere: no text can be embedded as they were
        return UseIt(_VECTORS.format(head=head, embeddings=embeddings), [])
    named = shlex.quote(head)
    shell = [f"rmlab score texts.jsonl --head {named} --out scores.parquet", f"rmlab serve {named}"]
    to = "transformers" if is_classifier else "folder"
    shell.append(f"rmlab export my-reward-model --to {to} --head {named}")
    return UseIt(_TEXTS.format(head=head), shell)
