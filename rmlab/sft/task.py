"""The task of a fine-tuning: settings, precision, held-out demonstrations and the order of the others."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rmlab.config.fitting import Sft
from rmlab.data.prompts import Demonstration, content_id
from rmlab.data.splits import hash_share
from rmlab.errors import InputError
from rmlab.storage.files import write_json, write_parquet

Rows = list[dict[str, list[int]]]  # input_ids, and labels with -100 where nothing is learned
_SCHEMA = pa.schema([("input_ids", pa.list_(pa.int64())), ("labels", pa.list_(pa.int64()))])


@dataclass(frozen=True)
class SftTask:
    """base: folder of the model; work: of rows, checkpoints, the log and what was trained.

    precision: float32 or bfloat16, what is computed in. saved: the same of a full model's weights.
    """

    base: Path
    work: Path
    how: Sft
    seed: int
    precision: str
    saved: str
    device: str = "auto"
    trust_remote_code: bool = False

    @property
    def trained(self) -> Path:
        """The folder to which a whole model (sft.method=full) or an adapter (lora) is written."""
        return self.work / "trained"

    @property
    def log(self) -> Path:
        return self.work / "log.json"

    @property
    def failure(self) -> Path:
        """The file in which a training process leaves its error."""
        return self.work / "failure.json"

    def write(self) -> Path:
        file = self.work / "task.json"
        values = asdict(self) | {"base": str(self.base), "work": str(self.work), "how": self.how.model_dump()}
        write_json(file, values)
        return file

    @staticmethod
    def read(file: Path) -> SftTask:
        values = json.loads(file.read_text())
        base, work, how = (values.pop(key) for key in ("base", "work", "how"))
        return SftTask(base=Path(base), work=Path(work), how=Sft(**how), **values)

    def write_rows(self, rows: Rows, held_out: Rows) -> None:
        for name, part in (("rows", rows), ("held_out", held_out)):
            write_parquet(self.work / f"{name}.parquet", pa.Table.from_pylist(part, schema=_SCHEMA))

    def read_rows(self) -> tuple[Rows, Rows]:
        """The rows to learn from, and the held-out rows."""
        names = ("rows", "held_out")
        rows, held_out = (pq.read_table(self.work / f"{name}.parquet").to_pylist() for name in names)
        return rows, held_out


def training_precision(precision: str, dtype: str, device: Any) -> str:
    """float32 or bfloat16. auto: bfloat16 where dtype says so and a GPU has it; a CPU gains nothing by it.

    float16 is no choice: its gradients underflow unless the loss is scaled, which bfloat16 does not need.
    """
    import torch

    has_bfloat16 = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "auto":
        return "bfloat16" if dtype == "bfloat16" and device.type == "cuda" and has_bfloat16 else "float32"
    if precision == "bfloat16" and not has_bfloat16:
        raise InputError("this GPU does not compute in bfloat16; set sft.precision=float32")
    return precision


def step_order(n_rows: int, epochs: int, batch: int, seed: int) -> NDArray[np.int64]:
    """[epochs, steps an epoch, batch] row numbers: each epoch a permutation of all rows, in whole steps.

    The last step of an epoch is filled up with n_rows, which stands for a row that teaches nothing:
    the same step then has the same rows however it is divided among devices or accumulated.
    """
    steps = -(-n_rows // batch)
    order = np.full((epochs, steps * batch), n_rows, dtype=np.int64)
    for epoch in range(epochs):
        order[epoch, :n_rows] = np.random.default_rng([seed, epoch]).permutation(n_rows)
    return order.reshape(epochs, steps, batch)


Demonstrations = list[Demonstration]


def hold_out(demonstrations: Demonstrations, fraction: float) -> tuple[Demonstrations, Demonstrations]:
    """Splits demonstrations into those to learn from and those held out.

    Held out are the prompts whose content has the smallest hashes, with all their demonstrations. Their
    number is rounded, so it may be 0; at least one prompt is left to learn from.
    """
    ids = [content_id(d.messages) for d in demonstrations]
    distinct = sorted(set(ids), key=lambda i: hash_share(i, "sft-evaluation"))
    held = set(distinct[: min(round(fraction * len(distinct)), max(0, len(distinct) - 1))])
    parts: tuple[Demonstrations, Demonstrations] = ([], [])
    for i, demonstration in zip(ids, demonstrations, strict=True):
        parts[i in held].append(demonstration)
    return parts
