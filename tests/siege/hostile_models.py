"""Folders of models as no honest program saves them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

OWNED = "owned-by-a-model"  # in the current folder of a command that runs code of a model
_SIGN = f"open({OWNED!r}, 'w')\n"
Change = Callable[[Path], None]
_WEIGHTS, _CONFIG, _TOKENIZER, _SETTINGS = (
    "model.safetensors",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
_HEAD = "model.embed_tokens.weight"
_LAYER = "model.layers.0.mlp.up_proj.weight"


def without(*names: str) -> Change:
    return lambda folder: [(folder / name).unlink(missing_ok=True) for name in names] and None


def holding(name: str, content: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(content) and None


def cut(name: str, share: float = 0.5) -> Change:
    def change(folder: Path) -> None:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: int(len(whole) * share)])

    return change


def said(name: str = _CONFIG, **values: Any) -> Change:
    """Other values in a JSON file of the folder; a value of ... is left out."""

    def change(folder: Path) -> None:
        record = json.loads((folder / name).read_text()) | values
        kept = {key: value for key, value in record.items() if value is not ...}
        (folder / name).write_text(json.dumps(kept))

    return change


def weighed(**tensors: Callable[[torch.Tensor], torch.Tensor | None]) -> Change:
    """Other weights, by what they are made of; None leaves them out."""

    def change(folder: Path) -> None:
        found = load_file(folder / _WEIGHTS)
        for name, how in tensors.items():
            new = how(found.pop(name))
            if new is not None:
                found[name] = new
        save_file(found, folder / _WEIGHTS, {"format": "pt"})

    return change


def _template(text: str) -> Change:
    def change(folder: Path) -> None:
        (folder / "chat_template.jinja").unlink(missing_ok=True)
        said(_SETTINGS, chat_template=text)(folder)

    return change


def _put(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def how(weights: torch.Tensor) -> torch.Tensor:
        weights[3, 3] = value
        return weights

    return how


def _index(**places: str) -> Change:
    """The weights of a folder by an index of parts."""

    def change(folder: Path) -> None:
        (folder / _WEIGHTS).rename(folder / "part.safetensors")
        names = load_file(folder / "part.safetensors")
        where = {name: places.get(name, "part.safetensors") for name in names}
        record = {"metadata": {"total_size": 1}, "weight_map": where}
        (folder / "model.safetensors.index.json").write_text(json.dumps(record))

    return change


def _pickled(folder: Path) -> None:
    torch.save(load_file(folder / _WEIGHTS), folder / "pytorch_model.bin")
    (folder / _WEIGHTS).unlink()


def _code(folder: Path) -> None:
    said(model_type="owned", auto_map={"AutoConfig": "owned.C", "AutoModelForCausalLM": "owned.M"})(folder)
    (folder / "owned.py").write_text(f"{_SIGN}C = M = None\n")


def _code_of_a_known_kind(folder: Path) -> None:
    said(auto_map={"AutoConfig": "owned.C", "AutoModelForCausalLM": "owned.M"})(folder)
    (folder / "owned.py").write_text(f"{_SIGN}C = M = None\n")


def _code_of_tokens(folder: Path) -> None:
    said(_SETTINGS, auto_map={"AutoTokenizer": ["owned.T", None]}, tokenizer_class="T")(folder)
    (folder / "owned.py").write_text(f"{_SIGN}T = None\n")


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _is_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("{}")


def _folder_for_a_file(folder: Path) -> None:
    (folder / _CONFIG).unlink()
    (folder / _CONFIG).mkdir()


def _header(folder: Path) -> None:
    (folder / _WEIGHTS).write_bytes((1 << 62).to_bytes(8, "little") + b"{}")


def _overlapping(folder: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    (folder / _WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header)


_ALL_NAN = {_HEAD: lambda w: w * float("nan")}

TAKEN, REFUSED = ("taken",), ("refused",)
EITHER = TAKEN + REFUSED  # the library that reads the folder may make something of it, or not

# name: (the change, how a run on the folder may end)
BROKEN: dict[str, tuple[Change, tuple[str, ...]]] = {
    "whole": (lambda folder: None, TAKEN),
    "empty": (_emptied, REFUSED),
    "a-file": (_is_a_file, REFUSED),
    "no-config": (without(_CONFIG), REFUSED),
    "no-weights": (without(_WEIGHTS), REFUSED),
    "no-tokenizer": (without(_TOKENIZER, _SETTINGS), REFUSED),
    "no-tokens": (without(_TOKENIZER), REFUSED),
    "no-tokenizer-settings": (without(_SETTINGS), REFUSED),
    "config-is-a-folder": (_folder_for_a_file, REFUSED),
    "config-empty": (holding(_CONFIG, b""), REFUSED),
    "config-no-json": (holding(_CONFIG, b"{'a': 1}"), REFUSED),
    "config-a-list": (holding(_CONFIG, b"[]"), REFUSED),
    "config-no-utf-8": (holding(_CONFIG, b'{"model_type": "ll\xff"}'), REFUSED),
    "config-deep": (holding(_CONFIG, b'{"a":' * 100_000), REFUSED),
    "config-nuls": (holding(_CONFIG, bytes(100)), REFUSED),
    "tokens-empty": (holding(_TOKENIZER, b""), REFUSED),
    "tokens-no-json": (cut(_TOKENIZER), REFUSED),
    "tokens-an-object": (holding(_TOKENIZER, b"{}"), REFUSED),
    "tokenizer-settings-a-list": (holding(_SETTINGS, b"[]"), REFUSED),
    "weights-empty": (holding(_WEIGHTS, b""), REFUSED),
    "weights-cut": (cut(_WEIGHTS), REFUSED),
    "weights-a-pickle": (holding(_WEIGHTS, b"\x80\x04N."), REFUSED),
    "weights-huge-header": (_header, REFUSED),
    "weights-beyond-the-file": (_overlapping, REFUSED),
    "pickle-alone": (_pickled, REFUSED),
    "index": (_index(), TAKEN),
    "index-part-missing": (_index(**{_LAYER: "gone.safetensors"}), REFUSED),
}
ODD: dict[str, tuple[Change, tuple[str, ...]]] = {  # what the configuration says
    "kind-unknown": (said(model_type="owned"), REFUSED),
    "kind-missing": (said(model_type=..., architectures=...), EITHER),
    "kind-a-number": (said(model_type=7), REFUSED),
    "kind-another": (said(model_type="bert", architectures=["BertModel"]), REFUSED),
    "architecture-unknown": (said(architectures=["Owned"]), EITHER),
    "layers-none": (said(num_hidden_layers=0), EITHER),
    "layers-negative": (said(num_hidden_layers=-1), REFUSED),
    "layers-text": (said(num_hidden_layers="two"), REFUSED),
    "layers-more": (said(num_hidden_layers=3), EITHER),
    "layers-thousands": (said(num_hidden_layers=3000), REFUSED),
    "width-other": (said(hidden_size=64), REFUSED),
    "width-null": (said(hidden_size=None), REFUSED),
    "width-huge": (said(hidden_size=10**9), REFUSED),
    "heads-odd": (said(num_attention_heads=5), REFUSED),
    "heads-none": (said(num_attention_heads=0), REFUSED),
    "vocabulary-small": (said(vocab_size=10), REFUSED),
    "vocabulary-negative": (said(vocab_size=-1), REFUSED),
    "activation-unknown": (said(hidden_act="owned"), REFUSED),
    "dtype-unknown": (said(torch_dtype="float7", dtype="float7"), EITHER),
    "rope-a-text": (said(rope_scaling="owned", rope_parameters="owned"), EITHER),
    "rope-unknown": (said(rope_parameters={"rope_type": "owned", "rope_theta": 1.0}), REFUSED),
    "positions-none": (said(max_position_embeddings=0), EITHER),
    "positions-few": (said(max_position_embeddings=4), EITHER),
    "end-out-of-range": (said(eos_token_id=10**9), EITHER),
    "end-a-text": (said(eos_token_id="</s>"), EITHER),
    "padding-negative": (said(pad_token_id=-5), EITHER),
    "attention-unknown": (said(attn_implementation="owned", _attn_implementation="owned"), EITHER),
    "quantised": (said(quantization_config={"quant_method": "owned"}), EITHER),
    "quantised-4-bit": (
        said(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
        REFUSED,
    ),
    "norm-negative": (said(rms_norm_eps=-1e9), EITHER),
}
FORGED: dict[str, tuple[Change, tuple[str, ...]]] = {  # weights, templates of chats, and code
    "weight-missing": (weighed(**{_LAYER: lambda w: None}), REFUSED),
    "weight-other-shape": (weighed(**{_LAYER: lambda w: w[:5].clone()}), REFUSED),
    "weight-of-integers": (weighed(**{_LAYER: lambda w: w.to(torch.int32)}), EITHER),
    "weight-nan": (weighed(**{_LAYER: _put(float("nan"))}), REFUSED),
    "weight-infinite": (weighed(**{_LAYER: _put(float("inf"))}), REFUSED),
    "weights-all-nan": (weighed(**_ALL_NAN), REFUSED),
    "weights-beyond-float16": (weighed(**{_LAYER: lambda w: w * 1e37}), EITHER),
    "template-no-jinja": (_template("{% for %}"), REFUSED),
    "template-of-an-error": (_template("{{ raise_exception('owned') }}"), REFUSED),
    "template-reaches-out": (_template("{{ ''.__class__.__mro__[1].__subclasses__() }}"), REFUSED),
    "template-empty": (_template(""), EITHER),
    "template-without-messages": (_template("constant"), EITHER),
    "code": (_code, REFUSED),
    "code-of-a-known-kind": (_code_of_a_known_kind, EITHER),
    "code-of-tokens": (_code_of_tokens, EITHER),
}
