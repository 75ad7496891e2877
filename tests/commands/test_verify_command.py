"""rmlab verify: what is bad is named, and dropped by --repair, so that a run makes it again and no more."""

from __future__ import annotations

import json
import shlex
import shutil
import sys

import pyarrow.parquet as pq
import pytest
from artifact_kinds import artifacts, files_of, flip
from resealed import rewrite
from small_settings import SMALL

from rmlab.storage.digest import file_digest
from rmlab.storage.writer import writing

SHARDED = (*SMALL, "prompts_per_shard=4")


RUN = ("run", *SHARDED, "sft=none", "head=linear", "arms=[]", "out=a")


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Some artifacts of several parts, by a relative `out`, as most are made; and a copy of them."""
    from rmlab.cli import app

    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["rmlab", *RUN])
        app(standalone_mode=False)
    shutil.copytree(folder / "a", folder / "copy")
    return folder


@pytest.fixture
def made(first, monkeypatch):
    """Those artifacts, as they were, where they were made."""
    shutil.rmtree(first / "a")
    shutil.copytree(first / "copy", first / "a")
    monkeypatch.chdir(first)
    return first / "a"


def digests(out):
    """Of all but what tells of a run: a report has dates."""
    return {
        f: file_digest(f) for a in artifacts(out) for f in files_of(a) if f.suffix not in (".html", ".json")
    }


def states(result):
    return {row["path"].rpartition("/")[2]: row["state"] for row in result.json["artifacts"]}


def of_stage(out, stage):
    [found] = (out / stage).glob("*")
    return found


def test_a_sound_folder(cli, made):
    result = cli("verify", "all", "out=a")
    assert result.code == 0 and f"{len(artifacts(made))} whole" in result.out
    assert cli("verify", made).code == 0 and cli("verify", of_stage(made, "embed")).code == 0


def goes_on(cli, result, monkeypatch):
    """Types the commands that a repair named, each once and in its folder."""
    for command in dict.fromkeys(row["again"] for row in result.json["artifacts"] if "again" in row):
        folder, _, words = command.removeprefix("cd ").rpartition(" && ")
        with monkeypatch.context() as patch:
            patch.chdir(folder or ".")
            assert cli(*shlex.split(words)[1:]).code == 0, command


@pytest.mark.parametrize("stage", ["sample", "annotate", "embed"])
def test_only_bad_parts_are_made_again(cli, made, stage, monkeypatch):
    artifact = next((made / stage).glob("*"))
    before, parts = digests(made), sorted(artifact.glob("part-*"))
    kept = {part: part.stat().st_mtime_ns for part in parts[2:]}
    flip(parts[0], 100)
    parts[1].unlink()
    damaged = cli("verify", "all", "out=a")
    assert damaged.code == 3 and "1 damaged" in damaged.line and "rmlab verify --repair all" in damaged.line
    monkeypatch.chdir(made.parent.parent)  # the command was given elsewhere, and out=a is meant from there
    repaired = cli("verify", "--repair", artifact, "--json")
    assert repaired.code == 0 and states(repaired) == {artifact.name: "unfinished"}
    assert f"2 of {len(parts)} files were bad; the next run makes these again" in repaired.out
    assert cli("verify", artifact).code == 0
    goes_on(cli, repaired, monkeypatch)
    assert {part: part.stat().st_mtime_ns for part in kept} == kept
    assert digests(made) == before
    assert set(states(cli("verify", made, "--json")).values()) == {"whole"}


@pytest.mark.parametrize("stage", ["prompts", "fit_rm", "eval_rm", "report"])
def test_an_artifact_that_is_made_as_a_whole(cli, made, stage, monkeypatch):
    artifact, before = of_stage(made, stage), digests(made)
    flip(files_of(artifact)[-1], 30)
    assert cli("verify", made).code == 3
    repaired = cli("verify", "--repair", made, "--json")
    assert repaired.code == 0 and states(repaired)[artifact.name] == "unfinished"
    goes_on(cli, repaired, monkeypatch)
    assert digests(made) == before
    assert set(states(cli("verify", made, "--json")).values()) == {"whole"}


def test_bad_parts_are_kept_until_the_run_that_makes_them_again_is_done(cli, made, monkeypatch):
    artifact = of_stage(made, "embed")
    part = sorted(artifact.glob("part-*"))[0]
    flip(part, 100)
    bad = part.read_bytes()
    repaired = cli("verify", "--repair", artifact, "--json")
    assert (artifact / ".work" / "damaged" / part.name).read_bytes() == bad and not part.exists()
    goes_on(cli, repaired, monkeypatch)
    assert part.exists() and not (artifact / ".work").exists()


def test_the_command_of_a_forced_run_goes_on_and_does_not_begin_anew(cli, made):
    assert cli("embed", *SHARDED, "sft=none", "head=linear", "arms=[]", "out=a", "--force").code == 0
    flip(sorted(of_stage(made, "embed").glob("part-*"))[0], 100)
    result = cli("verify", "--repair", made)
    assert "\ngo on: rmlab embed " in result.out and "--force" not in result.out


def test_a_manifest_comes_back_from_its_copy(cli, made):
    artifact = of_stage(made, "embed")
    before = (artifact / "manifest.json").read_bytes()
    flip(artifact / "manifest.json", 50)
    result = cli("verify", made)
    assert result.code == 3 and f"rmlab verify --repair {artifact}" in result.line
    result = cli("verify", "--repair", artifact)
    assert result.code == 0 and "restored" in result.out
    assert (artifact / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("what", ["lost", "a folder"])
def test_a_lost_manifest_is_damage_and_costs_nothing(cli, made, what, monkeypatch):
    """Without a word the stage would begin anew, and throw all parts away."""
    artifact, before = of_stage(made, "sample"), digests(made)
    (artifact / "manifest.json").unlink()
    if what == "a folder":
        (artifact / "manifest.json").mkdir()
    for command in (["sample", *SHARDED, "sft=none", "out=a"], ["verify", made]):
        result = cli(*command)
        assert result.code == 3 and "manifest.json" in result.line
        assert "rmlab verify --repair " in result.line and artifact.name in result.line
    with monkeypatch.context() as patch:
        patch.setattr("rmlab.stages.sample.run", lambda job: pytest.fail("drawn again"))
        result = cli("verify", "--repair", artifact)
    assert result.code == 0 and "restored" in result.out
    assert digests(made) == before and cli("verify", made).code == 0


@pytest.mark.parametrize("what", ["flipped", "lost"])
def test_the_copy_of_a_manifest_is_looked_after_too(cli, made, what):
    copy = of_stage(made, "sample") / ".manifest-copy.json"
    whole = copy.read_bytes()
    flip(copy, 40) if what == "flipped" else copy.unlink()
    looked = cli("verify", made)
    assert looked.code == (3 if what == "flipped" else 0)
    assert cli("inspect", of_stage(made, "sample")).code == 0  # the manifest itself is as it was
    result = cli("verify", "--repair", made)
    assert result.code == 0 and "the copy of its manifest was written again" in result.out
    assert copy.read_bytes() == whole


@pytest.mark.parametrize("name", ["manifest.json", ".manifest-copy.json"])
def test_no_manifest_is_restored_while_another_process_writes(cli, made, name):
    artifact = of_stage(made, "embed")
    (artifact / name).unlink()
    with writing(artifact):
        result = cli("verify", "--repair", artifact)
    assert result.code == 3 and "another rmlab process is writing" in result.line
    assert not (artifact / name).exists()


def test_a_repair_that_fails_leaves_the_others_to_be_repaired(cli, made, monkeypatch):
    """And does not send the user to itself."""
    from rmlab.storage.writer import Writer

    embed, annotate = of_stage(made, "embed"), sorted((made / "annotate").glob("*"))[0]
    for artifact in (annotate, embed):
        flip(files_of(artifact)[-1], 60)
    reopen = Writer.reopen

    def full(self, *rest):
        if self.path.name == annotate.name:
            raise OSError(28, "No space left on device")
        reopen(self, *rest)

    monkeypatch.setattr(Writer, "reopen", full)
    result = cli("verify", "--repair", "all", "out=a")
    assert result.code == 3 and "1 damaged" in result.line and "No space left" in result.line
    assert "rmlab verify" not in result.line
    found = states(cli("verify", "all", "out=a", "--json"))
    assert (found[embed.name], found[annotate.name]) == ("unfinished", "damaged")


def test_a_folder_in_the_place_of_a_part(cli, made, monkeypatch):
    before, part = digests(made), sorted(of_stage(made, "embed").glob("part-*"))[0]
    part.unlink()
    (part / "below").mkdir(parents=True)
    repaired = cli("verify", "--repair", made, "--json")
    assert repaired.code == 0
    goes_on(cli, repaired, monkeypatch)
    assert digests(made) == before


def test_without_manifest_and_copy_it_is_made_again_whole(cli, made):
    artifact, before = of_stage(made, "embed"), digests(made)
    for name in ("manifest.json", ".manifest-copy.json"):
        flip(artifact / name, 50)
    result = cli("verify", "--repair", artifact)
    assert result.code == 0 and "its manifest is lost" in result.out
    assert cli(*RUN).code == 0
    assert digests(made) == before


def test_a_restored_manifest_may_tell_of_more_damage(cli, made, monkeypatch):
    artifact, before = of_stage(made, "embed"), digests(made)
    (artifact / "manifest.json").unlink()
    flip(sorted(artifact.glob("part-*"))[0], 100)
    repaired = cli("verify", "--repair", artifact, "--json")
    assert repaired.code == 0 and states(repaired) == {artifact.name: "unfinished"}
    goes_on(cli, repaired, monkeypatch)
    assert digests(made) == before


def test_what_its_command_does_not_make_any_more_stays_as_it_is(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"what is {i}", "response": f"it is {i}", "score": i} for i in range(40)]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert cli("import", "s.jsonl", "out=a").code == 0
    before, part = digests(tmp_path / "a"), next((tmp_path / "a" / "annotate").glob("*/part-*"))
    flip(part, 100)
    repaired = cli("verify", "--repair", "all", "out=a", "--json")
    assert repaired.code == 0
    goes_on(cli, repaired, monkeypatch)
    assert digests(tmp_path / "a") == before, "an import goes on from its file"
    flip(part, 100)
    bad = part.read_bytes()
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[1:]))
    result = cli("verify", "--repair", part.parent)
    assert result.code == 3 and "it is stale, too" in result.line and "again: rmlab import" in result.line
    assert part.read_bytes() == bad


@pytest.mark.parametrize("stage", ["embed", "fit_rm"])
def test_parts_whose_inputs_are_gone_stay_as_they_are(cli, made, stage):
    """Set aside, they could not be made again."""
    artifact = of_stage(made, stage)
    bad = files_of(artifact)[-1]
    flip(bad, 60)
    before = {f: f.read_bytes() for f in files_of(artifact)}
    sample = of_stage(made, "sample")
    sample.rename(made / "elsewhere")
    result = cli("verify", "--repair", artifact)
    assert result.code == 3 and "it is left as it is: its input sample/" in result.line
    assert "is not there); bring that back, then repair it" in result.line
    assert {f: f.read_bytes() for f in files_of(artifact)} == before
    (made / "elsewhere").rename(sample)
    assert cli("verify", "--repair", artifact).code == 0


def test_a_folder_in_the_place_of_a_manifest_is_kept_under_another_name(cli, made):
    artifact = of_stage(made, "sample")
    (artifact / "manifest.json").unlink()
    (artifact / "manifest.json").mkdir()
    (artifact / "manifest.json" / "mine").write_text("mine")
    assert cli("verify", "--repair", artifact).code == 0
    assert (artifact / "manifest.json~" / "mine").read_text() == "mine"


def test_a_moved_folder_is_made_again_where_it_lies(cli, made, tmp_path):
    command = f"rmlab {shlex.join(RUN)}"
    moved = shutil.copytree(made, tmp_path / "b")
    for out in (made, moved):
        part = next((out / "sample").glob("*/part-00000.parquet"))
        rewrite(part, pq.read_table(part).slice(1), False)
    assert f"again: {command}; or, if nothing" in cli("verify", made).line
    assert f"again: {command} out={moved}; or, if nothing" in cli("verify", moved).line


def test_one_document(cli, made):
    flip(files_of(of_stage(made, "embed"))[-1], 60)
    result = cli("verify", "all", "out=a", "--json")
    assert result.code == 3
    found = states(result)
    assert found[of_stage(made, "embed").name] == "damaged"
    assert sum(state == "whole" for state in found.values()) == len(found) - 1


def test_unfinished_and_foreign_folders(cli, made, tmp_path):
    for name in ("manifest.json", ".manifest-copy.json"):
        (of_stage(made, "report") / name).unlink()
    result = cli("verify", made)
    assert result.code == 0 and "1 unfinished" in result.out
    (tmp_path / "empty").mkdir()
    assert "holds none" in cli("verify", tmp_path / "empty").line
    assert "does not exist" in cli("verify", tmp_path / "nowhere").line
    assert cli("verify", made, "out=b").code == 2
