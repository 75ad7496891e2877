"""Hydra resolvers that find files of an embedding set: `${set_file:scores,${input},${set.policy}}` in
conf/."""

from __future__ import annotations

from rmlab.errors import ConfigError, InputError
from rmlab.paths import user_path
from rmlab.storage.integrity import file_digest_of
from rmlab.storage.set_record import (
    PROMPTS_FILE,
    EmbeddingSet,
    embeddings_file,
    open_set,
    responses_file,
    scales_file,
    scores_file,
)

_KINDS = {"policy": "policies", "test_policy": "policies", "reward": "rewards", "embedder": "embedders"}


def set_choice(kind: str, folder: str | None, name: str | None) -> str:
    """Checks a name of this kind (policy, reward or embedder) and returns it; without one, the set's
    first."""
    return _chosen(_opened(folder), kind, name)


def set_file(kind: str, folder: str | None, policy: str | None = None, embedder: str | None = None) -> str:
    """The path of the set's file of this kind: prompts, responses, scores, embeddings or scales."""
    opened = _opened(folder)
    name = _file_name(opened, kind, policy, embedder)
    file = opened.folder / name
    known = opened.record.files.get(name)
    if known is None or not file.is_file() or file_digest_of(file) != known.sha256:
        raise InputError(f"{file} differs from what set.json records; `rmlab validate {folder}` says how")
    return f"{str(folder).rstrip('/')}/{name}"


def set_test_file(
    kind: str,
    folder: str | None,
    policy: str | None = None,
    test_policy: str | None = None,
    embedder: str | None = None,
) -> str | None:
    """The file of `test_policy`, whose responses to test prompts are judged; None if it is the policy
    itself."""
    opened = _opened(folder)
    if test_policy is None:
        return None
    judged = _chosen(opened, "test_policy", test_policy)
    return None if judged == _chosen(opened, "policy", policy) else set_file(kind, folder, judged, embedder)


def _opened(folder: str | None) -> EmbeddingSet:
    if folder is None:
        raise ConfigError("input has no value and needs one: give the folder of an embedding set, input=SET")
    return open_set(user_path(str(folder)))


def _file_name(opened: EmbeddingSet, kind: str, policy: str | None, embedder: str | None) -> str:
    if kind == "prompts":
        return PROMPTS_FILE
    policy = _chosen(opened, "policy", policy)
    if kind in ("responses", "scores"):
        return responses_file(policy) if kind == "responses" else scores_file(policy)
    embedder = _chosen(opened, "embedder", embedder)
    return embeddings_file(policy, embedder) if kind == "embeddings" else scales_file(policy, embedder)


def _chosen(opened: EmbeddingSet, kind: str, name: str | None) -> str:
    known = opened.names(_KINDS[kind])
    if name is None:
        return known[0]
    if name not in known:
        what = kind.removeprefix("test_")
        raise InputError(f"set.{kind}={name}: {opened.folder} has no such {what}; it has {', '.join(known)}")
    return name
