"""scripts/audit.py: what could not be looked up is never taken for safe."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "audit.py"
SAFE = {"name": "one", "version": "1.0", "vulns": []}
BAD = {
    "name": "two",
    "version": "2.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}, {"id": "PYSEC-2", "fix_versions": []}],
}
UNKNOWN = {"name": "three", "skip_reason": "not found"}


@pytest.fixture
def audit():
    spec = importlib.util.spec_from_file_location("audit_script", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("packages", "code", "last"),
    [
        ([SAFE], 0, "0 known vulnerabilities in 1 of 1 packages"),
        ([SAFE, BAD], 1, "2 known vulnerabilities in 2 of 2 packages"),
        ([SAFE, UNKNOWN], 3, "could not look up 1: three"),
        ([BAD, UNKNOWN], 1, "could not look up 1: three"),
        (
            [UNKNOWN, UNKNOWN],
            3,
            "could not look: the vulnerability service knows none of the 2 packages here",
        ),
        ([], 3, "could not look: the vulnerability service knows none of the 0 packages here"),
    ],
)
def test_the_verdict(audit, packages, code, last):
    lines, found = audit.verdict(packages)
    assert found == code and lines[-1] == last
    if BAD in packages:
        assert lines[:2] == ["two 2.0: PYSEC-1, mended in 2.1", "two 2.0: PYSEC-2, mended in no version yet"]


@pytest.mark.parametrize(
    ("says", "code"),
    [
        ("print('no json'); import sys; sys.exit('ConnectionError: no such host')", 3),
        (f"print({json.dumps(json.dumps({'dependencies': [UNKNOWN]}))})", 3),
        (f"print({json.dumps(json.dumps({'dependencies': [SAFE]}))})", 0),
    ],
)
def test_no_answer_is_one_line_and_a_failure(audit, monkeypatch, capsys, says, code):
    monkeypatch.setattr(audit, "COMMAND", (sys.executable, "-c", says))
    assert audit.main(["constraints.txt"]) == code
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith("audit: constraints.txt: ") and ("could not look" in line) == (code == 3)
