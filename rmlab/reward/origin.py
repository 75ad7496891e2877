"""The origin of embeddings: the embedder, its model and its template, as an artifact records them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rmlab.config.components import as_component, build, recorded_name
from rmlab.config.settings import TemplateName
from rmlab.embedders.base import OpenEmbedder
from rmlab.errors import ConfigError, InputError
from rmlab.models.compute import Compute
from rmlab.models.weights import Model, check_available, find_model
from rmlab.paths import home_path
from rmlab.storage.artifact import Artifact
from rmlab.storage.files import json_text
from rmlab.storage.manifest import InputRecord

_OF_EMBEDDER = "embedder.model"  # the role of a model that the embedder names itself
_RECORDED = ("file", "arrays")  # embedders whose vectors were imported, so that no text can be embedded


@dataclass(frozen=True)
class Origin:
    """The origin of embeddings of width d; a head scores embeddings of its own origin alone.

    embedder: its recorded settings, with pooling, layer and the largest length; template: that of the
    prompts; dtype: the numbers that the model computes in; model, identity: its name and the digest of its
    contents, "" for an embedder without a model; own_model: whether the embedder names the model itself;
    template_hash: of the template as rendered; files: digests of imported embeddings and of a user's code.
    """

    embedder: dict[str, Any]
    template: TemplateName
    dtype: str
    model: str
    identity: str
    own_model: bool
    template_hash: str
    d: int
    files: dict[str, str]

    @classmethod
    def of(cls, embed: Artifact) -> Origin:
        """Reads the origin from the manifest of an artifact of embeddings."""
        manifest = embed.manifest
        if manifest.stage != "embed":
            raise InputError(
                f"{embed.path} holds no embeddings but {manifest.stage}; give one of artifacts/embed"
            )
        outside = [record for record in manifest.inputs if record.kind != "artifact"]
        model = next((record for record in outside if record.kind == "model"), None)
        return cls(
            embedder=dict(manifest.config["embedder"]),
            template=manifest.config["template"],
            dtype=str(manifest.config["dtype"]),
            model=_found_name(model, manifest.folder) if model else "",
            identity=model.fingerprint if model else "",
            own_model=bool(model and model.role == _OF_EMBEDDER),
            template_hash=str(manifest.metrics["template_hash"]),
            d=int(manifest.metrics["dimension"]),
            files={record.role: record.fingerprint for record in outside if record is not model},
        )

    @classmethod
    def from_json(cls, record: Any) -> Origin:
        """Reads what `to_json` wrote; ValueError if it is not that."""
        try:
            return TypeAdapter(cls).validate_json(json_text(record), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def name(self) -> str:
        """The name of the embedder, such as transformers."""
        return recorded_name(self.embedder)

    def check(self, other: Origin, what: str) -> None:
        """Raises InputError unless embeddings of the other origin mean the same. what: names them.

        The model's name, which may be a path, and the storage of the numbers may differ.
        """
        free = {"model"}
        for field in fields(self):
            mine, theirs = (_comparable(getattr(o, field.name)) for o in (self, other))
            if field.name not in free and mine != theirs:
                raise InputError(
                    f"{what} have another origin than the embeddings that the head was fitted on: "
                    f"{field.name} is {_differing(theirs, mine)}; embed with the settings of the head"
                )

    def open(
        self,
        device: str = "auto",
        base_model: str | None = None,
        allow_modules: Sequence[str] = (),
        trust_remote_code: bool = False,
        copy: str = "",
    ) -> OpenEmbedder:
        """Loads the embedding model, so that texts can be embedded as they were; InputError if it is another.

        base_model, copy: as for `find`.
        """
        model = self.find(base_model, trust_remote_code, copy)
        component = as_component(self.embedder, "embedder")
        compute = Compute(self.dtype, device, trust_remote_code)
        if model:
            revision = model.identity.rpartition("@")[2] if model.identity.startswith("hub:") else None
            if self.own_model:
                component |= {"model": model.name, **({"revision": revision} if revision else {})}
            compute = Compute(self.dtype, device, trust_remote_code, revision)
        name = model.name if model else ""
        opened: OpenEmbedder = build(component, allow_modules, "embedder").open(name, self.template, compute)
        self._check_opened(opened)
        return opened

    def find(
        self, base_model: str | None = None, trust_remote_code: bool = False, copy: str = ""
    ) -> Model | None:
        """Finds the embedding model, which is not loaded; None for an embedder that reads no model.

        Raises an error where texts cannot be embedded as they were. base_model: where the model lies now, if
        not where it was; copy: the identity that a copy of it has there.
        """
        if self.name in _RECORDED:
            raise InputError(
                "the head was fitted on embeddings that were imported from a file, so rmlab cannot embed a "
                "text as they were; score embeddings of the same origin with score_embeddings"
            )
        if self.model:
            found = self._model(base_model or self.model, trust_remote_code, copy)
            check_available(found.name)
            return found
        if base_model:
            raise ConfigError(
                f"the embedder {self.name} reads no model, so base_model={base_model} has no use"
            )
        return None

    def _model(self, name: str, trust_remote_code: bool, copy: str) -> Model:
        """Finds the model and compares its contents with those recorded."""
        hub = self.identity.startswith("hub:") and not home_path(name).is_dir()
        commit = self.identity.rpartition("@")[2] if hub else None
        try:
            found = find_model(name, commit, trust_remote_code)
        except InputError as error:
            raise InputError(
                f"the base model of the head is not there: {error}; say where with base_model"
            ) from None
        if found.identity not in (self.identity, copy or self.identity):
            raise InputError(
                f"the model {name} has other contents than the one that the head was fitted on "
                f"({found.identity[:40]} in place of {self.identity[:40]}); say where it is with base_model"
            )
        return found

    def _check_opened(self, opened: OpenEmbedder) -> None:
        if opened.template_hash != self.template_hash:
            raise InputError(
                f"the template {self.template} renders texts otherwise than when the head was fitted "
                f"(hash {opened.template_hash} in place of {self.template_hash}); fit the head again"
            )
        if opened.dimension != self.d:
            raise InputError(
                f"the embedder gives vectors of width {opened.dimension}, and the head was fitted on {self.d}"
            )


def _found_name(model: InputRecord, folder: str) -> str:
    """The model's name; a relative path counts from the folder of the command that wrote the artifact."""
    beside = Path(folder) / model.name
    if folder and not home_path(model.name).is_dir() and beside.is_dir():
        return str(beside)
    return model.name


def _comparable(value: Any) -> Any:
    """The value without the storage of an embedder, which says nothing of where its vectors come from."""
    if not isinstance(value, Mapping):
        return value
    known = {key: each for key, each in value.items() if key not in ("storage", "_name_", "_target_")}
    if "_name_" in value or "_target_" in value:
        known["name"] = recorded_name(value)
    return known


def _differing(theirs: Any, mine: Any) -> str:
    """Says what differs, of two mappings the first key alone."""
    if isinstance(theirs, Mapping) and isinstance(mine, Mapping):
        key = next(key for key in (*mine, *theirs) if mine.get(key) != theirs.get(key))
        return f"{key}={theirs.get(key)} in place of {mine.get(key)}"
    return f"{theirs} in place of {mine}"
