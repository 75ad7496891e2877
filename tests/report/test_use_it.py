"""The report shows lines that use the head, and they work as they are printed."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pytest
from report_synthetic import make
from small_settings import SMALL

from rmlab import RewardModel
from rmlab.report.render import render
from rmlab.report.use_it import use_of


def code_of(page: str, label: str) -> str:
    (found,) = re.findall(rf'aria-label="{label}"><code>(.*?)</code>', page, flags=re.DOTALL)
    return html.unescape(found)


@pytest.mark.parametrize(
    "embedder", [["embedder=hashing"], ["embedder=transformers", "embedder.pooling=end"]]
)
def test_the_lines_of_a_run_use_its_head(cli, tmp_path, monkeypatch, embedder):
    monkeypatch.chdir(tmp_path)
    done = cli("run", *SMALL, "sft=none", "arms=['head=linear']", *embedder)
    assert done.code == 0, done.err
    (line,) = [line for line in done.out.splitlines() if line.startswith("report: ")]
    page = Path(line.removeprefix("report: ")).read_text(encoding="utf-8")
    names: dict = {}
    exec(compile(code_of(page, "Python that uses the head"), "report", "exec"), names)
    assert np.isfinite(names["scores"]).all() and len(names["scores"]) == 2
    shell = code_of(page, "Commands that use the head").splitlines()
    Path("texts.jsonl").write_text('{"prompt": "How are you?", "response": "Well."}\n', encoding="utf-8")
    assert cli(*shell[0].split()[1:]).code == 0 and Path("scores.parquet").exists()
    exported = cli(*shell[2].split()[1:])
    assert exported.code == 0, exported.err
    is_linear = RewardModel.load(shell[1].split()[-1]).head.kind == "linear"
    assert ("transformers" in shell[2]) == (is_linear and "embedder.pooling=end" in embedder)


def test_imported_embeddings_are_scored_as_embeddings():
    use = use_of("artifacts/fit_rm/x", "artifacts/embed/y", "file", False)
    assert "score_embeddings('artifacts/embed/y')" in use.python and use.shell == []
    page = render(make(use=use))
    assert code_of(page, "Python that uses the head") == use.python
    assert "Commands that use the head" not in page


def test_a_page_without_a_head_to_use_has_no_such_section():
    assert 'id="use"' not in render(make(use=None))
