"""rmlab clean: what need not be kept is shown with its size, and removed where that is asked for."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time

import pyarrow as pa
import pytest
from artifact_kinds import artifacts
from resealed import rewrite
from small_settings import SMALL

from rmlab.storage import locks
from rmlab.storage.manifest import read_manifest
from rmlab.storage.writer import writing

STALE = ("annotate", "embed", "fit_rm", "eval_rm", "report")


@pytest.fixture
def made(small_run, tmp_path, monkeypatch):
    monkeypatch.setenv("RMLAB_CACHE", str(tmp_path / "cache"))
    return shutil.copytree(small_run, tmp_path / "a", ignore=shutil.ignore_patterns("logs"))


def of_stage(out, stage):
    return next((out / stage).glob("[!.]*"))


def make_stale(out):
    part = next((out / "sample").glob("*/part-00000.parquet"))
    table = pa.parquet.read_table(part)
    rewrite(part, table.slice(1), False)


def begin(artifact, part):
    with writing(artifact) as writer:
        writer.reopen(read_manifest(artifact), [part])


def cleaned(cli, *words):
    result = cli("clean", *words, "--json")
    assert result.code == 0, result.err
    return {os.path.basename(item["path"]): item for item in result.json["items"]}  # noqa: PTH119


def everything(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*")}


def test_a_folder_that_is_all_wanted_has_nothing_to_remove(cli, made):
    result = cli("clean", f"out={made}")
    assert result.code == 0 and "nothing to remove" in result.out


def test_what_is_stale_goes_after_a_dry_run_and_verify_is_content(cli, made):
    make_stale(made)
    assert cli("verify", made).code == 3
    before = everything(made)
    result = cli("clean", f"out={made}")
    assert result.code == 0 and everything(made) == before
    for stage in STALE:
        assert of_stage(made, stage).name in result.out
    assert f"remove: rmlab clean out={made} --stale --remove" in result.out and "7 of 7" in result.out
    result = cli("clean", f"out={made}", "--stale", "--remove", "--json")
    assert result.code == 0 and result.json["removed"] and result.json["bytes"] > 10_000
    assert {a.parent.name for a in artifacts(made)} == {"prompts", "sft", "sample"}
    assert not any(list((made / stage).iterdir()) for stage in STALE)
    assert cli("verify", made).code == 0
    assert cli("run", *SMALL, f"out={made}").code == 0


def test_what_is_unfinished_and_what_was_begun_to_replace(cli, made):
    begin(of_stage(made, "embed"), "part-00000.parquet")
    with writing(of_stage(made, "prompts")) as writer:
        writer.begin({}, replaces=True)
    found = cleaned(cli, f"out={made}", "--unfinished")
    names = {of_stage(made, "embed").name, f".{of_stage(made, 'prompts').name}.new"}
    assert set(found) == names and all(item["rules"] == ["unfinished"] for item in found.values())
    assert cleaned(cli, f"out={made}", "--unfinished", "--older-than", "1d") == {}
    assert set(cleaned(cli, f"out={made}", "--unfinished", "--yes")) == names
    assert not (made / "embed").is_dir() or not list((made / "embed").iterdir())
    assert len(list((made / "prompts").iterdir())) == 1 and cli("verify", made).code == 0


def test_what_no_result_is_made_of_is_orphaned(cli, made):
    for stage in ("report", "eval_rm"):
        assert cli("clean", f"{stage}/{of_stage(made, stage).name}", f"out={made}", "--remove").code == 0
    found = cleaned(cli, f"out={made}")
    assert {item["rules"][0] for item in found.values()} == {"orphaned"}
    assert {os.path.basename(os.path.dirname(item["path"])) for item in found.values()} == {  # noqa: PTH119, PTH120
        "prompts", "sft", "sample", "annotate", "embed", "fit_rm",
    }  # fmt: skip
    cleaned(cli, f"out={made}", "--orphaned", "--remove")
    assert artifacts(made) == []


def age(artifact, days):
    for place in (artifact, *artifact.rglob("*")):
        os.utime(place, (0, time.time() - days * 86_400))


def test_what_is_old_goes_but_not_what_something_newer_is_made_of(cli, made):
    for artifact in artifacts(made):
        age(artifact, 40)
    age(of_stage(made, "embed"), 5)
    found = cleaned(cli, f"out={made}", "--older-than", "30d")
    assert {p.parent.name for p in artifacts(made) if p.name in found} == {
        "annotate", "fit_rm", "eval_rm", "report",
    }  # fmt: skip
    assert not set(found) & {of_stage(made, s).name for s in ("prompts", "sample", "embed")}
    assert cleaned(cli, f"out={made}", "--older-than", "8w") == {}
    assert cleaned(cli, f"out={made}", "--stale", "--older-than", "1d") == {}


def test_one_by_its_name_path_or_fingerprint(cli, made, monkeypatch):
    monkeypatch.chdir(made.parent)
    report = of_stage(made, "report")
    assert cleaned(cli, "out=a") == {}
    called, _, fingerprint = report.name.rpartition("-")
    for name in (report, f"a/report/{report.name}/", report.name, f"report/{called}", fingerprint[:8]):
        assert list(cleaned(cli, name, "out=a")) == [report.name]
    result = cli("clean", called, "out=a", "--remove")
    assert result.code == 2 and f"{called} may be eval_rm/" in result.err
    result = cli("clean", report.name, "out=a")
    assert f"remove: rmlab clean {report.name} out=a --remove" in result.out
    cleaned(cli, report.name, "out=a", "--remove")
    assert not report.exists() and cli("verify", made).code == 0


@pytest.mark.parametrize("rule", [("--stale",), ("--older-than", "30d")])
def test_a_rule_beside_a_name_is_refused_as_it_would_not_count(cli, made, rule):
    report = of_stage(made, "report")
    result = cli("clean", report, f"out={made}", *rule, "--remove")
    assert result.code == 2 and "not both" in result.err and report.exists()


def test_files_that_are_not_rmlabs_stay_and_are_named(cli, made):
    report = of_stage(made, "report")
    (report / "notes").mkdir()
    (report / "notes" / "mine.md").write_text("mine")
    found = cleaned(cli, report, f"out={made}", "--remove")
    assert found[report.name]["why"] == "files that are not rmlab's stay: notes/mine.md"
    assert [p.name for p in report.rglob("*")] == ["notes", "mine.md"]


def test_what_cannot_be_proven_ours_and_links_stay(cli, made, tmp_path):
    foreign = made / "sample" / "mine-0123456789abcdef"
    foreign.mkdir()
    (foreign / "part-00000.parquet").write_text("mine")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "manifest.json").write_text(
        (of_stage(made, "sft") / "manifest.json").read_text()
    )
    (made / "embed" / "link-0123456789abcdef").symlink_to(tmp_path / "precious")
    found = cleaned(cli, f"out={made}", "--unfinished", "--orphaned", "--remove")
    assert "no record of rmlab" in found[foreign.name]["kept"]
    assert "it is a link" in found["link-0123456789abcdef"]["kept"]
    assert (foreign / "part-00000.parquet").is_file() and (tmp_path / "precious" / "manifest.json").is_file()
    result = cli("clean", foreign, f"out={made}", "--remove")
    assert result.code == 1 and "1 of 1 are kept" in result.line and "no record of rmlab" in result.line


def test_what_a_process_writes_stays_and_what_it_may_read(cli, made):
    make_stale(made)
    embed = of_stage(made, "embed")
    begin(embed, "part-00000.parquet")
    with (embed / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = cli("clean", of_stage(made, "sample"), f"out={made}")
        assert result.code == 1 and f"writing embed/{embed.name}, and may read it" in result.line
        found = cleaned(cli, f"out={made}", "--unfinished", "--stale", "--remove")
        assert found[embed.name]["kept"] == "another rmlab process is writing it"
    assert embed.is_dir() and not list((made / "annotate").iterdir())


def test_logs_of_what_runs_stay(cli, made, tmp_path):
    logs = made / "logs"
    logs.mkdir(exist_ok=True)
    for file in logs.iterdir():
        file.unlink()
    names = [f"20260101T000000Z-{command}-{k}.jsonl" for k, command in enumerate(("run", "fit-rm"))]
    for name in (*names, "notes.jsonl"):
        (logs / name).write_text("{}\n")
    with (logs / names[0]).open() as running:
        fcntl.flock(running, fcntl.LOCK_EX)  # as a command does with its log
        found = cleaned(cli, f"out={made}", "--logs", "--remove")
    assert found[names[0]]["kept"] and not found[names[1]]["kept"]
    assert sorted(p.name for p in logs.iterdir()) == sorted([names[0], "notes.jsonl"])


def test_the_cache(cli, made, tmp_path):
    from rmlab.models.bundled.random_tiny import folder
    from rmlab.storage.digest import write_sealed

    model = folder()
    (model.parent / "mine").mkdir()
    (model.parent / "mine" / "weights").write_text("mine")
    digests = tmp_path / "cache" / "digests"
    write_sealed(digests / f"{'0' * 24}.json", [])
    (digests / "notes.json").write_text("{}")
    found = cleaned(cli, f"out={made}", "--cache", "--remove")
    assert not found[model.name]["kept"] and "no record" in found["mine"]["kept"]
    assert not model.exists() and (model.parent / "mine" / "weights").is_file()
    assert [p.name for p in digests.iterdir()] == ["notes.json"]
    assert folder().is_dir(), "it is made again"


def test_bad_input_is_one_line(cli, made):
    for words, code, said in [
        (["--remove"], 2, "needs the name of an artifact or a rule"),
        (["--older-than", "month"], 2, "such as 12h, 30d or 8w"),
        (["--older-than", "-1d"], 2, "such as 12h, 30d or 8w"),
        (["nothing-0123"], 3, "is no artifact, log or model"),
        (["no_such_setting=1"], 2, "no_such_setting"),
        (["sample", "--remove"], 3, "is no artifact"),
        (["../a", "--remove"], 3, "is no artifact"),
    ]:
        result = cli("clean", *words, f"out={made}")
        assert result.code == code and said in result.line, words
    names = [p.name for p in made.glob("*/[!.]*-*")]
    result = cli("clean", "", f"out={made}")
    assert result.code == 3
    assert [p.name for p in made.glob("*/[!.]*-*")] == names
    assert cli("clean", f"out={made / 'nowhere'}").code == 0


def test_what_another_machine_may_be_writing_stays_with_the_file_that_says_so(cli, made, monkeypatch):
    """On a file system without locks a file names the holder."""
    begin(of_stage(made, "embed"), "part-00000.parquet")
    embed, make_no_lock = of_stage(made, "embed"), OSError(errno.ENOLCK, "No locks available")
    held = embed.with_name(f".{embed.name}.rmlab-held")
    held.write_text('{"host": "elsewhere", "system": "another", "process": 1}')

    def flock(file, how):
        raise make_no_lock

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    result = cli("clean", embed, f"out={made}", "--remove")
    assert result.code == 1 and "another rmlab process is writing it" in result.line
    found = cleaned(cli, f"out={made}", "--unfinished", "--remove")
    assert "another rmlab process is writing it" in found[embed.name]["kept"]
    assert held.is_file() and (embed / ".work").is_dir()
