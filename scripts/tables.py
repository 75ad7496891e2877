"""Writes TABLES.md from the schemas in the code (`make tables`)."""

from __future__ import annotations

from pathlib import Path

from rmlab.storage.frontier_schema import FRONTIER_TABLES
from rmlab.storage.heldout_schema import HELDOUT_TABLES
from rmlab.storage.schemas import TABLES
from rmlab.storage.set_schema import SET_TABLES
from rmlab.storage.study_schema import STUDY_TABLES
from rmlab.storage.sweep_schema import SWEEP_MEANS, cell_prompts_table, sweep_table
from rmlab.storage.table_schema import Table

PAGE = Path(__file__).parents[1] / "TABLES.md"

HEAD = """# Tables

Made by `make tables` from the schemas in `rmlab/storage/`; do not edit.

Every stage writes an artifact: `artifacts/<stage>/<name>-<fingerprint>/`, with Parquet files and a
`manifest.json` that is written last (settings, inputs, checksums, versions, counts, timings). All files of
one table have one schema. Join tables on their ids, never on the order of rows.

```python
import pandas as pd
from pathlib import Path
parts = sorted(Path("artifacts/sample/NAME-FINGERPRINT").glob("part-*.parquet"))
responses = pd.concat(map(pd.read_parquet, parts))

from datasets import load_dataset
scores = load_dataset("parquet", data_files="artifacts/annotate/sentiment-FINGERPRINT/part-*.parquet")
```

The tables of an embedding set (docs/embedding_sets.md) come last.
"""


def page() -> str:
    sweep = (sweep_table(), cell_prompts_table(), SWEEP_MEANS)
    tables = (*TABLES, *HELDOUT_TABLES, *FRONTIER_TABLES, *sweep, *STUDY_TABLES, *SET_TABLES)
    return HEAD + "".join(section(table) for table in tables)


def section(table: Table) -> str:
    rows = "".join(f"| `{c.name}` | `{_type(str(c.type))}` | {c.meaning} |\n" for c in table.columns)
    return (
        f"\n## {table.name}\n{table.meaning}\n\n"
        f"Stage: `{table.stage}`. Files: `{table.files}`. Key: {', '.join(f'`{k}`' for k in table.key)}.\n\n"
        f"| column | type | meaning |\n|---|---|---|\n{rows}"
    )


def _type(text: str) -> str:
    return text.replace("[1]", "[width of the model]").replace("item: ", "").replace(" not null", "")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
