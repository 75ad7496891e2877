"""Rot: whatever changes in an artifact is found before it is used, with the command that mends it."""

from __future__ import annotations

import os
import random
import shutil

import pyarrow as pa
import pytest
from artifact_kinds import KINDS, artifacts, every_kind, files_of, flip

from rmlab.errors import InputError
from rmlab.pipeline.state import Ages
from rmlab.pipeline.verify import verify
from rmlab.storage import integrity as checking
from rmlab.storage.artifact import open_artifact
from rmlab.storage.files import read_parquet
from rmlab.storage.manifest import FileRecord, Manifest
from rmlab.storage.writer import writing

FLIPS = 25  # of each kind of artifact


@pytest.fixture(scope="module")
def everything(small_run, tmp_path_factory):
    from typer.testing import CliRunner

    from rmlab.cli import app

    class Result:
        def __init__(self, done):
            self.code, self.err = done.exit_code, done.output

    def cli(*arguments):
        return Result(CliRunner().invoke(app, list(map(str, arguments))))

    return every_kind(cli, small_run, tmp_path_factory.mktemp("rot") / "artifacts")


def refused(artifact):
    """What opening says, in one line."""
    with pytest.raises(InputError) as error:
        open_artifact(artifact)
    line = str(error.value)
    assert "\n" not in line and str(artifact) in line
    return line


@pytest.mark.slow
def test_every_kind_is_there(everything):
    assert {artifact.parent.name for artifact in artifacts(everything)} == set(KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_flipped_byte_goes_unseen(everything, kind):
    rng = random.Random(f"flips of {kind}")
    of_kind = [artifact for artifact in artifacts(everything) if artifact.parent.name == kind]
    for _ in range(FLIPS):
        artifact = rng.choice(of_kind)
        file = rng.choice([f for f in files_of(artifact) if f.stat().st_size])
        whole = file.read_bytes()
        flip(file, rng.randrange(len(whole)), rng.randrange(8))
        assert f"rmlab verify --repair {artifact}" in refused(artifact)
        assert verify(artifact, lambda n: None, Ages()).state == "damaged"
        file.write_bytes(whole)
        open_artifact(artifact)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_file_is_cut_or_lost_unseen(everything, kind, tmp_path):
    rng = random.Random(f"cuts of {kind}")
    artifact = next(a for a in artifacts(everything) if a.parent.name == kind)
    for file in files_of(artifact):
        whole = file.read_bytes()
        file.write_bytes(whole[: rng.randrange(max(1, len(whole)))])
        refused(artifact)
        file.unlink()
        refused(artifact)
        file.write_bytes(whole)
        open_artifact(artifact)


def large(folder, monkeypatch, rows=2000):
    """An artifact that counts as large: its files are not hashed when it is opened."""
    monkeypatch.setattr(checking, "LARGE", 1)
    rng = random.Random(7)
    columns = {
        "id": [f"{rng.getrandbits(64):016x}" for _ in range(rows)],
        "text": [" ".join(rng.choices(["rot", "wood", "iron", "rust", "salt"], k=9)) for _ in range(rows)],
        "x": pa.array([rng.random() for _ in range(rows)]),
    }
    with writing(folder) as writer:
        writer.part(0, pa.table(columns), {})
        writer.commit(lambda files: Manifest("sample", "large", 1, "f" * 64, {}, [], files, rows))
    return folder / "part-00000.parquet"


@pytest.mark.slow
def test_a_large_artifact_is_hashed_again_when_a_time_or_size_changed(tmp_path, monkeypatch):
    part = large(tmp_path / "sample" / "a", monkeypatch)
    hashed = []
    real = checking.file_digest
    monkeypatch.setattr(checking, "file_digest", lambda path: hashed.append(path.name) or real(path))
    open_artifact(part.parent)
    assert hashed == []
    os.utime(part)
    open_artifact(part.parent)
    assert hashed == [part.name], "touched: looked at, and known to be whole again"
    flip(part, 1000)
    assert "its content is not what was written" in refused(part.parent)


@pytest.mark.slow
def test_rot_that_leaves_no_trace_in_a_large_file_is_found_by_its_pages_or_by_verify(tmp_path, monkeypatch):
    """The disk's own: size and time stay. A reading gives what was written or nothing; verify sees each."""
    part = large(tmp_path / "sample" / "a", monkeypatch)
    whole, table, at = part.read_bytes(), read_parquet(part), part.stat()
    rng, unread = random.Random(11), 0
    for _ in range(200):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        with part.open("r+b") as file:
            file.write(data)
        os.utime(part, ns=(at.st_atime_ns, at.st_mtime_ns))
        assert verify(part.parent, lambda n: None, Ages()).state == "damaged"
        try:
            assert read_parquet(part).equals(table)
        except InputError as error:
            unread += 1
            assert f"rmlab verify --repair {part.parent}" in str(error)
    assert unread > 150


@pytest.mark.slow
def test_a_manifest_that_leads_elsewhere_is_refused(tmp_path):
    from rmlab.storage.manifest import write_manifest

    for name in ("../other", "/etc/passwd", "a/../../b", "x" * 300, "a//b", "a\0b", "."):
        folder = tmp_path / "sample" / "a"
        folder.mkdir(parents=True, exist_ok=True)
        files = [FileRecord(name, 1, "0" * 64)]
        write_manifest(folder, Manifest("sample", "n", 1, "f" * 64, {}, [], files, 0))
        assert "impossible file name" in refused(folder)
        shutil.rmtree(folder)
