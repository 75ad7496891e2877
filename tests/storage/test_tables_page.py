import importlib.util
from pathlib import Path

import pyarrow.parquet as pq

from rmlab.storage.schemas import TABLES

ROOT = Path(__file__).parents[2]


def test_the_page_of_tables_is_what_the_code_says():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "scripts" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "TABLES.md").read_text() == module.page(), "run: make tables"


def test_every_table_that_a_run_writes_has_its_schema(small_run):
    seen = set()
    for table in TABLES:
        stages = table.stage.split(", ")
        for file in (f for s in stages for f in (small_run / s).glob(f"*/{table.files}")):
            written = pq.read_schema(file)
            if table.name == "embeddings":
                assert written.names == table.schema.names
                assert written.field("embedding").type.list_size == 64
            else:
                assert written.equals(table.schema), file
            seen.add(table.name)
    assert seen == {t.name for t in TABLES} - {"diagnostics"}  # of losses that this run has none of


def test_no_parquet_file_is_outside_the_page(small_run):
    known = {(s, t.files) for t in TABLES for s in t.stage.split(", ")}
    for file in small_run.rglob("*.parquet"):
        pattern = "part-*.parquet" if file.name.startswith("part-") else file.name
        assert (file.parent.parent.name, pattern) in known, file


def test_keys_are_unique(small_run):
    import pandas as pd

    for table in TABLES:
        if table.name == "metrics":
            continue
        for stage in table.stage.split(", "):
            for folder in (small_run / stage).glob("*"):
                files = sorted(folder.glob(table.files))
                if files:
                    frame = pd.concat([pd.read_parquet(f, columns=list(table.key)) for f in files])
                    assert not frame.duplicated().any(), (folder, table.key)
