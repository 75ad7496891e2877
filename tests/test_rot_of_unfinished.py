"""Rot in what an interrupted stage left for its resumption: it costs work, and never a row."""

from __future__ import annotations

import json
import random
import shutil

import pytest
from artifact_kinds import artifacts, files_of, flip
from small_settings import SMALL

from rmlab.storage.digest import file_digest, read_sealed, write_sealed
from rmlab.storage.manifest import read_manifest
from rmlab.storage.writer import writing

SETTINGS = (*SMALL, "sft=none", "head=linear", "arms=[]")
JUNK = (b"", b"{ bad", b"{}", b"[]", b"null", b"0", b"\xff\xfe", b'{"value": 3, "sha256": "0"}', b"[" * 5000)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, module_cli):
    out = tmp_path_factory.mktemp("whole") / "a"
    for stage in ("sample", "annotate", "embed"):
        assert module_cli(stage, *SETTINGS, "prompts_per_shard=4", f"out={out}") == 0
    return out


@pytest.fixture(scope="module")
def module_cli():
    from typer.testing import CliRunner

    from rmlab.cli import app

    def call(*arguments):
        done = CliRunner().invoke(app, list(map(str, arguments)))
        return getattr(done.exception, "exit_code", done.exit_code)

    return call


@pytest.fixture
def begun(whole, tmp_path):
    """stage -> the folder of an artifact that lacks its second part."""
    out = shutil.copytree(whole, tmp_path / "a")

    def of(stage):
        artifact = next(a for a in artifacts(out) if a.parent.name == stage)
        with writing(artifact) as writer:
            writer.reopen(read_manifest(artifact), ["part-00001.parquet"])
        return artifact

    return of


def digests(artifact):
    return {f.name: file_digest(f) for f in files_of(artifact) if f.suffix == ".parquet"}


def goes_on(cli, artifact, expected):
    """The same rows as ever; a shard size that is lost is what the settings say, here the same."""
    out = artifact.parent.parent
    stage = artifact.parent.name
    result = cli(stage, *SETTINGS, "prompts_per_shard=4", f"out={out}")
    assert result.code == 0, result.err
    assert digests(artifact) == expected
    assert cli("verify", artifact).code == 0


@pytest.mark.parametrize("stage", ["sample", "annotate", "embed"])
def test_no_flipped_bit_of_a_record_changes_a_row(cli, begun, whole, stage):
    rng = random.Random(f"records of {stage}")
    before = next(a for a in artifacts(whole) if a.parent.name == stage)
    expected, manifest = digests(before), read_manifest(before)
    artifact = begun(stage)
    for name in sorted(p.name for p in (artifact / ".work").glob("*.json")):
        file = artifact / ".work" / name
        flip(file, rng.randrange(file.stat().st_size), rng.randrange(8))
        goes_on(cli, artifact, expected)
        assert read_manifest(artifact).counts == manifest.counts, name
        with writing(artifact) as writer:
            writer.reopen(manifest, ["part-00001.parquet"])


@pytest.mark.parametrize("stage", ["sample", "annotate", "embed"])
def test_another_number_in_the_record_of_a_part_is_not_counted(cli, begun, whole, stage):
    """As JSON the record is whole."""
    before = next(a for a in artifacts(whole) if a.parent.name == stage)
    artifact = begun(stage)
    record = artifact / ".work" / "counts-00000.json"
    known = json.loads(record.read_text())
    known["value"]["rows"] += 1
    known["value"]["counts"] = {name: n + 1 for name, n in known["value"]["counts"].items()}
    record.write_text(json.dumps(known))
    goes_on(cli, artifact, digests(before))
    assert read_manifest(artifact).counts == read_manifest(before).counts
    assert read_manifest(artifact).rows == read_manifest(before).rows


@pytest.mark.parametrize("junk", JUNK[:4])
def test_junk_in_place_of_records_is_no_end(cli, begun, whole, junk):
    before = next(a for a in artifacts(whole) if a.parent.name == "sample")
    artifact = begun("sample")
    for file in (artifact / ".work").glob("*.json"):
        file.write_bytes(junk)
    goes_on(cli, artifact, digests(before))


def test_parts_whose_shard_size_is_lost_are_drawn_again(cli, begun):
    """With another size in the settings their numbers would mean other prompts."""
    artifact = begun("sample")
    record = artifact / ".work" / "shards.json"
    assert '"value": 4' in record.read_text()
    record.write_text(record.read_text().replace('"value": 4', '"value": 5'))  # as JSON it is whole
    out = artifact.parent.parent
    assert cli("sample", *SETTINGS, "prompts_per_shard=5", f"out={out}").code == 0
    ids = [row["response_id"] for part in _tables(artifact) for row in part]
    assert len(ids) == len(set(ids)) == 12 * 5 + 6 * 6


def _tables(artifact):
    import pyarrow.parquet as pq

    return [pq.read_table(f).to_pylist() for f in files_of(artifact) if f.suffix == ".parquet"]


def test_no_flipped_bit_of_a_sealed_record_is_read(tmp_path):
    file = tmp_path / "record.json"
    value = {"counts": {"rows": 12, "share": 0.5}, "sha256": "ab", "none": None, "text": "ü"}
    write_sealed(file, value)
    assert read_sealed(file) == value
    bytes_of = file.read_bytes()
    for place in range(len(bytes_of)):
        for bit in range(8):
            flip(file, place, bit)
            assert read_sealed(file) in (None, value), (place, bit)
            file.write_bytes(bytes_of)
    for junk in JUNK:
        file.write_bytes(junk)
        assert read_sealed(file) is None
    file.unlink()
    assert read_sealed(file) is None
