"""Hostile model folders: configurations, tokenizers, indices and weights that no honest program saves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from fuzz_case import fuzz, read
from hostile_values import VALUES, as_json, damaged, junk
from hypothesis import given
from hypothesis import strategies as st

from rmlab.models.compute import Compute
from rmlab.models.weights import find_model
from rmlab.samplers.transformers import TransformersSampler

FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "model.safetensors",
)
KEYS = {
    "config.json": ("hidden_size", "num_attention_heads", "vocab_size", "eos_token_id", "architectures", "dtype", "x"),
    "tokenizer_config.json": ("model_max_length", "pad_token", "eos_token", "chat_template", "tokenizer_class"),
    "generation_config.json": ("eos_token_id", "temperature", "x"),
    "model.safetensors.index.json": ("weight_map", "metadata"),
}  # fmt: skip


def test_model_folders(cases, tiny_model):
    met = cases("model folders")
    compute = Compute(device="cpu")
    contents = {name: (tiny_model / name).read_bytes() for name in FILES}
    by_value = st.sampled_from(sorted(KEYS)).flatmap(
        lambda name: st.tuples(st.just(name), st.tuples(st.sampled_from(KEYS[name]), VALUES))
    )
    by_file = st.sampled_from(FILES).flatmap(
        lambda name: st.tuples(st.just(name), st.one_of(damaged(contents[name]), junk(), st.none()))
    )
    links = st.sampled_from(["/dev/zero", "/etc/passwd", "nowhere", ".", "../sentinel"])

    @fuzz
    @given(st.one_of(by_value, by_value, by_file, st.tuples(st.sampled_from(FILES), links)))
    def run(how):
        name, change = how
        with met.folder() as place:
            folder = Path(shutil.copytree(tiny_model, place / "model"))
            if isinstance(change, tuple):
                _spoil(folder / name, *change)
            else:
                (folder / name).unlink()
                if isinstance(change, str):
                    (folder / name).symlink_to(change)
                elif change is not None:
                    (folder / name).write_bytes(change)
            found = read(lambda: find_model(str(folder)))
            if found is not None:
                session = read(lambda: TransformersSampler().open(found.folder(), "plain", compute))
                if session is not None:
                    assert session.context > 0
                    read(lambda: session.encode([{"role": "user", "content": "hello"}]))

    run()


def _spoil(file: Path, key: str, value: object) -> None:
    """The record with another value, or a new record with this alone."""
    record = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(as_json({**record, key: value}), encoding="utf-8", errors="surrogatepass")
