"""Every data file has a row in the table of licences, and the packages of models are what it says."""

from __future__ import annotations

import json
from importlib.metadata import metadata

import pytest
from licence_table import CARD, licence_of, table

DATA = CARD.parent


def test_every_data_file_has_a_licence():
    files = [p for folder in ("data", "conf") for p in (DATA.parent / folder).rglob("*") if p.is_file()]
    assert len(files) > 80
    lacking = [
        str(p.relative_to(DATA.parent))
        for p in files
        if licence_of(p.relative_to(DATA.parent).as_posix()) is None
    ]
    assert not lacking


def test_a_file_without_a_row_would_be_seen():
    assert licence_of("data/prompts/openings.jsonl") == "Apache-2.0"
    assert licence_of("data/other/lyrics.jsonl") is None and licence_of("data/lyrics.jsonl") is None


def test_a_released_set_has_the_licence_of_its_own_card():
    for record in DATA.glob("released/*/set.json"):
        path = record.relative_to(DATA.parent).as_posix()
        assert json.loads(record.read_text())["license"].lower() == str(licence_of(path)).lower()


@pytest.mark.parametrize("row", table("package"), ids=lambda row: row[0])
def test_packages_of_models_declare_what_the_table_says(row):
    name, _, own, carried = row
    said = metadata(name)
    declared = said.get("License-Expression") or said.get("License") or ""
    assert declared.removesuffix(" License") == own and carried
