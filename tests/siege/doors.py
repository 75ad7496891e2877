"""Every reading of what a user names goes through a bounded door: artifacts, datasets, models, templates."""

from __future__ import annotations

import json
from pathlib import Path

from siege.base import SMOKE, Ground, case
from siege.command import Ended

_MOST = 900 << 20  # bytes of memory, of which torch and transformers take most
_MODEL = """
from pathlib import Path
from rmlab.models.bundled.random_tiny import write_random_model
write_random_model(Path("model"))
"""
_BOMB = """
import sys
import pyarrow as pa
import pyarrow.parquet as pq
rows = pa.array([0] * 8000, pa.int32())
table = pa.table({"prompt": pa.DictionaryArray.from_arrays(rows, pa.array(["x" * 1_000_000]))})
if sys.argv[1].endswith(".parquet"):
    pq.write_table(table, sys.argv[1])
else:
    with pa.OSFile(sys.argv[1], "wb") as file, pa.ipc.new_stream(file, table.schema) as out:
        out.write_table(table)
"""
_ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


def _bomb(ground: Ground, name: str) -> None:
    """One text of a megabyte in each of 8,000 rows, which is stored once.

    A process of its own writes it, since what the parent of a command takes counts as the command's."""
    ground.python(_BOMB, name).fine()


def _model(ground: Ground) -> Path:
    ground.copy("model", lambda folder: _write_model(ground, folder))
    return ground.folder / "model"


def _write_model(ground: Ground, folder: Path) -> None:
    ground.python(_MODEL, cwd=folder).fine()


def _sampled(ground: Ground) -> Ended:
    ended = ground.rmlab("sample", *SMOKE, "model=./model", "sampler=transformers", "prompts.template=chat")
    assert ended.peak < _MOST, f"it took {ended.peak >> 20} MiB"
    return ended


@case("inspect of a table that unpacks to gigabytes")
def _(ground: Ground) -> None:
    _bomb(ground, "bomb.parquet")
    ended = ground.rmlab("inspect", "bomb.parquet").fine("8,000 rows")
    assert ended.peak < _MOST, f"it took {ended.peak >> 20} MiB"


@case("a saved dataset that unpacks to gigabytes, and one that names a file of elsewhere")
def _(ground: Ground) -> None:
    folder = ground.folder / "saved"
    folder.mkdir()
    _bomb(ground, "saved/data.arrow")
    for name, words in (("data.arrow", "saved"), ("../elsewhere.arrow", "no file of its folder")):
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
        ended = ground.rmlab("import", "saved", "--dry-run").refused(3, words)
        assert ended.peak < _MOST, f"it took {ended.peak >> 20} MiB"


@case("chat templates that loop for ever or build a text of 500 MB")
def _(ground: Ground) -> None:
    template = _model(ground) / "chat_template.jinja"
    for text, words in ((_ENDLESS, "takes too long"), ("{{ 'x' * 500_000_000 }}", "more memory than it may")):
        template.write_text(text)
        _sampled(ground).refused(3, words, "plain or hh")


@case("a model whose index or link leads out of its folder")
def _(ground: Ground) -> None:
    folder = _model(ground)
    weights, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    weights.rename(ground.folder / "other.safetensors")
    index.write_text(json.dumps({"weight_map": {"model.norm.weight": "../other.safetensors"}}))
    _sampled(ground).refused(3, "is no file of its folder")
    index.unlink()
    weights.symlink_to("../other.safetensors")
    _sampled(ground).refused(3, "is a link out of its folder")


@case("odd values in a model's configuration")
def _(ground: Ground) -> None:
    file = _model(ground) / "config.json"
    good = json.loads(file.read_text())
    for odd in ({"num_hidden_layers": 10**9}, {"sliding_window": -1}, {"hidden_size": 0}):
        file.write_text(json.dumps(good | odd))
        _sampled(ground).refused(3, "model")
