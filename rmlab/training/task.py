"""What is trained, and how: everything that a process needs to know to train on its own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rmlab.artifacts.files import write_json, write_parquet
from rmlab.settings import Sft

Rows = list[dict[str, list[int]]]  # input_ids, and labels with -100 where nothing is learned
_SCHEMA = pa.schema([("input_ids", pa.list_(pa.int64())), ("labels", pa.list_(pa.int64()))])


@dataclass(frozen=True)
class Task:
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
        """Where a whole model (sft.method=full) or an adapter (lora) is written."""
        return self.work / "trained"

    @property
    def log(self) -> Path:
        return self.work / "log.json"

    @property
    def failure(self) -> Path:
        """What went wrong in a process of its own."""
        return self.work / "failure.json"

    def write(self) -> Path:
        file = self.work / "task.json"
        values = asdict(self) | {"base": str(self.base), "work": str(self.work), "how": self.how.model_dump()}
        write_json(file, values)
        return file

    @staticmethod
    def read(file: Path) -> Task:
        values = json.loads(file.read_text())
        base, work, how = (values.pop(key) for key in ("base", "work", "how"))
        return Task(base=Path(base), work=Path(work), how=Sft(**how), **values)

    def write_rows(self, rows: Rows, held_out: Rows) -> None:
        for name, part in (("rows", rows), ("held_out", held_out)):
            write_parquet(self.work / f"{name}.parquet", pa.Table.from_pylist(part, schema=_SCHEMA))

    def read_rows(self) -> tuple[Rows, Rows]:
        """Those to learn from and those held out."""
        names = ("rows", "held_out")
        rows, held_out = (pq.read_table(self.work / f"{name}.parquet").to_pylist() for name in names)
        return rows, held_out
