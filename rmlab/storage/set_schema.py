"""The tables of an embedding set, a folder to publish, from which experiments start without a model."""

from __future__ import annotations

import pyarrow as pa

from rmlab.storage.schemas import MESSAGES, PROMPT_ID, RESPONSES
from rmlab.storage.table_schema import Column, Table, number, text

_SET = "embedding set"
_RESPONSE = text("response_id", "the response")

SET_PROMPTS = Table(
    "set: prompts",
    _SET,
    "prompts.parquet",
    ("prompt_id",),
    "The prompts of a set, for all its policies.",
    (
        PROMPT_ID,
        text("group", "prompts of one group are always in the same split; often the prompt_id"),
        text("split", "train or test"),
        Column("messages", MESSAGES, "the conversation so far; its last message is the user's"),
    ),
)

SET_RESPONSES = Table(
    "set: responses",
    _SET,
    "responses-<policy>.parquet",
    ("response_id",),
    "The responses of one policy.",
    tuple(c for c in RESPONSES.columns if c.name != "group"),  # the prompts have it
)

SET_SCORES = Table(
    "set: scores",
    _SET,
    "scores-<policy>.parquet",
    ("response_id", "reward"),
    "Every golden reward of every response of one policy.",
    (
        _RESPONSE,
        text("reward", "name of the golden reward"),
        number("score", "its score; higher is better; always finite"),
    ),
)

SET_SCALES = Table(
    "set: scales",
    _SET,
    "scales-<policy>-<embedder>.parquet",
    ("dimension",),
    "The scales of the 8-bit embeddings of the same name: embedding × scale is the vector.",
    (
        Column("dimension", pa.int32(), "number of the dimension, from 0, in order"),
        Column("scale", pa.float32(), "value of one 8-bit step, above 0"),
    ),
)


def set_embeddings(dimension: int = 1) -> Table:
    vector = pa.list_(pa.field("item", pa.int8(), nullable=False), dimension)
    return Table(
        "set: embeddings",
        _SET,
        "embeddings-<policy>-<embedder>.parquet",
        ("response_id",),
        "One vector for every response of one policy, in 8 bits a value.",
        (_RESPONSE, Column("embedding", vector, "-127 to 127; multiply each dimension by its scale")),
    )


SET_TABLES = (SET_PROMPTS, SET_RESPONSES, SET_SCORES, set_embeddings(), SET_SCALES)
