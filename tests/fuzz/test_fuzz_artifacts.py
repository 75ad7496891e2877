"""Hostile manifests, embedding sets, and texts in the report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from fuzz_case import check_line, fuzz, read
from hostile_parquet import ODD_COLUMNS, damaged_parquet
from hostile_values import JUNK, LEAVES, MESSAGES, TEXTS, VALUES, as_json, damaged, junk
from hypothesis import given
from hypothesis import strategies as st
from report_page_parser import Page
from report_synthetic import make
from set_helpers import TWO, release, sign

from rmlab.report import render as render_page
from rmlab.report.content import ReportContent
from rmlab.report.examples import pick_examples
from rmlab.sets.validate import validate
from rmlab.storage.artifact import open_artifact

PATHS = st.sampled_from(
    [
        "../../outside",
        "/etc/passwd",
        "..",
        ".",
        "",
        "a" * 5000,
        "a/../../x",
        "part-\x00",
        "part-\n",
        "~",
        "LICENSE",
        "\ud800",
    ]
)


@pytest.fixture(scope="module")
def finished(small_run: Path) -> Path:
    return next(small_run.glob("prompts/*"))


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fuzzed_set")
    return release(root / "artifacts", root / "small", *TWO)


def spoilt(record: dict, path: tuple, value: object) -> dict:
    """The record with another value at a path, which is followed as far as it goes."""
    found = json.loads(json.dumps(record))
    at = found
    for step in path[:-1]:
        inner = at.get(step) if isinstance(at, dict) else at[0] if isinstance(at, list) and at else None
        if not isinstance(inner, dict | list):
            break
        at = inner
    if isinstance(at, dict):
        at[path[-1]] = value
    elif isinstance(at, list):
        at.append(value)
    return found


def test_manifests(cases, finished):
    met = cases("manifests")
    honest = json.loads((finished / "manifest.json").read_text())
    names = st.sampled_from([*honest, "files", "inputs"])
    inner = st.sampled_from(["name", "bytes", "sha256", "rows", "path", "kind", "role"])
    change = st.tuples(
        st.one_of(
            names.map(lambda n: (n,)), st.tuples(names, st.just(0), inner), names.map(lambda n: (n, n))
        ),
        st.one_of(VALUES, PATHS, LEAVES),
    )
    text = json.dumps(honest).encode()

    @fuzz
    @given(st.one_of(change, change, damaged(text), junk()))
    def run(how):
        with met.folder() as place:
            folder = Path(shutil.copytree(finished, place / "artifact"))
            file = folder / "manifest.json"
            if isinstance(how, bytes):
                file.write_bytes(how)
            else:
                file.write_text(as_json(spoilt(honest, *how)), encoding="utf-8", errors="surrogatepass")
            artifact = read(lambda: open_artifact(folder))
            if artifact is not None:
                read(artifact.read)
                assert all(part.resolve().is_relative_to(folder.resolve()) for part in artifact.parts)

    run()


FILES = (
    "prompts.parquet", "responses-a.parquet", "scores-a.parquet", "embeddings-a-wide.parquet", "scales-a-wide.parquet",
    "set.json", "README.md", "LICENSE",
)  # fmt: skip
FIELDS = ("format", "name", "license", "prompts", "policies", "rewards", "embedders", "files", "responses", "dimension",
          "storage", "error", "made_by", "lineage", "bytes", "sha256", "rows", "train", "x")  # fmt: skip


def test_sets(cases, small_set):
    met = cases("sets")
    record = json.loads((small_set / "set.json").read_text())
    contents = {name: (small_set / name).read_bytes() for name in FILES}
    tables = [name for name in FILES if name.endswith(".parquet")]
    by_file = st.sampled_from(FILES).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.one_of((damaged_parquet if n in tables else damaged)(contents[n]), junk(), st.none()),
        )
    )
    by_column = st.tuples(
        st.sampled_from(tables), st.tuples(st.integers(0, 7), st.sampled_from(sorted(ODD_COLUMNS)))
    )
    paths = st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3).map(tuple)
    by_record = st.tuples(st.just("record"), st.tuples(paths, st.one_of(VALUES, PATHS)))
    by_link = st.tuples(st.sampled_from(FILES), st.sampled_from(["/dev/zero", "/etc/passwd", "nowhere", "."]))

    @fuzz
    @given(st.one_of(by_file, by_column, by_column, by_record, by_link))
    def run(how):
        name, change = how
        with met.folder() as place:
            folder = Path(shutil.copytree(small_set, place / "set"))
            if name == "record":
                (folder / "set.json").write_text(
                    as_json(spoilt(record, *change)), encoding="utf-8", errors="surrogatepass"
                )
            elif isinstance(change, tuple):
                _forge(folder, name, *change)
            elif isinstance(change, str):
                (folder / name).unlink()
                (folder / name).symlink_to(change)
            else:
                (folder / name).unlink() if change is None else (folder / name).write_bytes(change)
                if name in tables and change is not None:
                    sign(folder, name)
            found = validate(folder)
            for line in found.failures:
                check_line(line)
            for check in found.checks:
                assert check.skipped == "" or check.skipped.isprintable()

    run()


def _forge(folder: Path, name: str, at: int, kind: str) -> None:
    """Another type in one column, signed as if it had always been so."""
    table = pq.read_table(folder / name)
    at %= table.num_columns
    forged = table.set_column(at, table.column_names[at], ODD_COLUMNS[kind](table.num_rows))
    try:
        pq.write_table(forged, folder / name)
    except Exception:  # Parquet has no place for it
        (folder / name).write_bytes(JUNK["parquet"])
    sign(folder, name)


def _content(text: str, name: str) -> ReportContent:
    made = make({"only": 0.5}, n_prompts=2, ns=[1, 2], sft_log=None, title=name, verdict=[name])
    made.responses["text"] = pd.Series(
        [text] * len(made.responses), dtype=object
    )  # any text, broken ones too
    return made


def test_reports(cases, monkeypatch):
    """Model text, names and messages of every kind stay text. What has none of it is left out, or counted once."""
    met = cases("reports")
    content = _content("a", "b")
    counted = render_page._tables(content)
    figures = {name: type(made)() for name, made in render_page._figures(content).items()}
    monkeypatch.setattr(render_page, "_figures", lambda content: figures)
    monkeypatch.setattr(render_page, "_tables", lambda c: {**counted, "examples": pick_examples(c)})
    texts = st.one_of(
        TEXTS,
        st.sampled_from(["</style><script>x</script>", "<svg onload=x>", "{{ 7*7 }}", "]]>", "&lt;", "$a$"]),
    )
    names = texts.map(lambda name: name.encode("utf-8", "replace").decode())  # none reaches an artifact else

    @fuzz
    @given(texts, names, MESSAGES, st.one_of(LEAVES, TEXTS))
    def run(text, name, messages, fact):
        with met.folder():
            content = _content(text, name)
            content.prompts["messages"] = [
                [{"role": str(m.get("role")), "content": str(m.get("content"))} for m in messages]
            ] * len(content.prompts)
            content.facts["fact"] = str(fact)
            html = render_page.render(content)
            page = Page(html)
            assert page.tags["script"] == page.tags["img"] == page.tags["iframe"] == 0
            assert not [n for n, _ in page.attributes if n.startswith("on")]
            assert html.encode("utf-8") and "\x00" not in html

    run()
