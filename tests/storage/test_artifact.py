import fcntl
import json

import pyarrow as pa
import pytest

from rmlab.errors import InputError, RmlabError
from rmlab.storage.artifact import open_artifact
from rmlab.storage.manifest import Manifest
from rmlab.storage.writer import tidy, writing


def write(path, parts=2):
    with writing(path) as writer:
        for i in range(parts):
            writer.part(i, pa.table({"x": [i, i + 1]}), {"rows": 2})
        writer.commit(lambda files: Manifest("sample", "n", 1, "f" * 64, {}, [], files, 2 * parts))


def test_parts_are_read_as_one_table(tmp_path):
    write(tmp_path / "a")
    artifact = open_artifact(tmp_path / "a")
    assert artifact.read().to_pydict() == {"x": [0, 1, 1, 2]}
    assert [f.rows for f in artifact.manifest.files] == [2, 2]
    assert not (tmp_path / "a" / ".work").exists()


def test_without_a_manifest_it_is_not_finished(tmp_path):
    write(tmp_path / "a")
    for name in ("manifest.json", ".manifest-copy.json"):
        (tmp_path / "a" / name).unlink()
    with pytest.raises(InputError, match="not finished"):
        open_artifact(tmp_path / "a")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": 1}', '{"format": 99}'])
def test_a_damaged_manifest_is_one_line(tmp_path, text):
    write(tmp_path / "a")
    (tmp_path / "a" / "manifest.json").write_text(text)
    with pytest.raises(InputError, match="damaged"):
        open_artifact(tmp_path / "a")


def test_missing_and_cut_parts_are_found(tmp_path):
    write(tmp_path / "a")
    part = tmp_path / "a" / "part-00001.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:-1])
    with pytest.raises(InputError, match="instead of"):
        open_artifact(tmp_path / "a")
    part.unlink()
    with pytest.raises(InputError, match="is missing"):
        open_artifact(tmp_path / "a")


def test_two_processes_do_not_write_at_once(tmp_path):
    (tmp_path / "a").mkdir()
    with (tmp_path / "a" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RmlabError, match="another rmlab process"):
            write(tmp_path / "a")


def test_an_interrupted_run_keeps_its_shard_size_and_counts(tmp_path):
    with writing(tmp_path / "a") as writer:
        assert writer.shard_size(5) == 5
        writer.metrics["hash"] = "h"
        writer.part(0, pa.table({"x": [1]}), {"rows": 1})
    with writing(tmp_path / "a") as writer:
        assert writer.shard_size(7) == 5
        assert writer.has_part(0) and not writer.has_part(1)
        assert writer.part_counts(0) == {"rows": 1}
        assert writer.metrics == {"hash": "h"}


def test_a_fresh_start_leaves_nothing_of_what_was_begun_of_other_inputs(tmp_path):
    with writing(tmp_path / "a") as writer:
        writer.begin({"sample": "1"})
        writer.shard_size(5)
        writer.part(0, pa.table({"x": [1]}), {"rows": 1})
        writer.output("head").mkdir()
    (tmp_path / "a" / "notes").mkdir()
    (tmp_path / "a" / "notes" / "mine.md").write_text("mine")
    with writing(tmp_path / "a") as writer:
        writer.begin({"sample": "2"})
        assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [".lock", ".work", "notes"]
        assert [p.name for p in writer.work.iterdir()] == ["begun.json"]
    assert (tmp_path / "a" / "notes" / "mine.md").read_text() == "mine"


def test_the_manifest_holds_checksums(tmp_path):
    write(tmp_path / "a")
    record = json.loads((tmp_path / "a" / "manifest.json").read_text())["files"][0]
    assert len(record["sha256"]) == 64 and record["bytes"] > 0


def test_what_a_kill_left_after_the_manifest_goes(tmp_path):
    write(tmp_path / "a")
    (tmp_path / "a" / ".work").mkdir()
    (tmp_path / "a" / ".work" / "optimizer.pt").write_bytes(b"x")
    tidy(tmp_path / "a")
    assert not (tmp_path / "a" / ".work").exists()
    assert open_artifact(tmp_path / "a").read().num_rows == 4
    (tmp_path / "a" / ".work").mkdir()
    (tmp_path / "a" / "manifest.json").unlink()
    tidy(tmp_path / "a")
    assert (tmp_path / "a" / ".work").exists(), "it is unfinished, and goes on with this"
