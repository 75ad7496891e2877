"""Folders with files of others, links, kills and full disks: nothing is removed that is not rmlab's."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from siege.base import SMOKE, Ground, case
from siege.disks import memory_disk

_DONE = 5  # parts of the sample of SMOKE


def _precious(ground: Ground) -> Path:
    folder = ground.folder / "precious"
    folder.mkdir()
    (folder / "thesis.txt").write_text("ten years")
    return folder


def _is_kept(folder: Path) -> None:
    assert [p.name for p in folder.iterdir()] == ["thesis.txt"], "the other folder was written to"
    assert (folder / "thesis.txt").read_text() == "ten years", "the other folder's file was changed"


def _begun_again(ground: Ground) -> Path:
    """The folder in which the sample of a finished run will be made again."""
    artifact = ground.artifact("sample")
    return artifact.with_name(f".{artifact.name}.new")


@case("a link in place of an artifact is refused, and what it leads to stays")
def _(ground: Ground) -> None:
    ground.smoke()
    artifact, precious = ground.artifact("sample"), _precious(ground)
    shutil.rmtree(artifact)
    artifact.symlink_to(precious)
    ground.rmlab("sample", *SMOKE).refused(3, "is a link", artifact.name)
    _is_kept(precious)
    assert artifact.is_symlink(), "the link is gone"


@case("a link in a working folder is refused, and what it leads to stays")
def _(ground: Ground) -> None:
    ground.smoke()
    artifact, precious = ground.artifact("sample"), _precious(ground)
    (artifact / ".work").mkdir()
    (artifact / ".work" / "begun.json").write_text("{}")
    (artifact / ".work" / "made").symlink_to(precious)
    ground.rmlab("sample", "--force", *SMOKE).refused(3, "made is a link")
    _is_kept(precious)


@case("a folder of an artifact's name that holds notes is refused, and named")
def _(ground: Ground) -> None:
    ground.smoke()
    artifact = ground.artifact("sample")
    shutil.rmtree(artifact)
    (artifact / "notes").mkdir(parents=True)
    (artifact / "notes" / "mine.md").write_text("mine")
    ground.rmlab("sample", *SMOKE).refused(3, "notes/mine.md", "no record of rmlab")
    assert (artifact / "notes" / "mine.md").read_text() == "mine"


@case("notes in a finished artifact outlive --force and clean")
def _(ground: Ground) -> None:
    ground.smoke()
    artifact = ground.artifact("sample")
    (artifact / "notes").mkdir()
    (artifact / "notes" / "mine.md").write_text("mine")
    ground.rmlab("sample", *SMOKE, "--force").fine()
    assert (artifact / "notes" / "mine.md").read_text() == "mine", "--force lost them"
    ground.rmlab("verify", str(artifact)).fine()
    ground.rmlab("clean", str(artifact), "--remove").fine("notes/mine.md")
    assert [p.name for p in artifact.rglob("*")] == ["notes", "mine.md"], "more is left, or less"


@case("kill -9 in the midst of --force leaves the old artifact, and the parts that are done")
def _(ground: Ground) -> None:
    ground.smoke()
    artifact = ground.artifact("sample")
    before = {p.name: p.read_bytes() for p in artifact.glob("part-*")}
    running = ground.start("sample", *SMOKE, "--force")
    running.wait_for_file(f"{_begun_again(ground).name}/part-00001.parquet", artifact.parent)
    running.signal(signal.SIGKILL)
    running.end()
    assert {p.name: p.read_bytes() for p in artifact.glob("part-*")} == before, "the old one was touched"
    ground.rmlab("verify", str(artifact)).fine("1 whole")
    ground.rmlab("sample", *SMOKE, "--force").fine()
    assert len(before) == _DONE and {p.name: p.read_bytes() for p in artifact.glob("part-*")} == before
    assert [p.name for p in artifact.parent.iterdir()] == [artifact.name], "something is left behind"


@case("a disk that is full in the midst of --force leaves the old artifact, as the message says")
def _(ground: Ground) -> None:
    with memory_disk(ground, 2) as disk:
        made = ground.smoke("made")
        for stage in ("prompts", "sample"):
            shutil.copytree(made / "artifacts" / stage, disk / "a" / stage)
        artifact = next(p.parent for p in disk.glob("a/sample/*/manifest.json"))
        (disk / "fill").write_bytes(b"x" * (shutil.disk_usage(disk).free - 12_288))
        ground.rmlab("sample", *SMOKE, f"out={disk / 'a'}", "--force").refused(
            1, "no space", "what is done is kept"
        )
        ground.rmlab("verify", str(artifact)).fine("1 whole")
        (disk / "fill").unlink()
        ground.rmlab("sample", *SMOKE, f"out={disk / 'a'}", "--force").fine()


@case("a link in place of an export or of a set is refused")
def _(ground: Ground) -> None:
    ground.smoke()
    precious = _precious(ground)
    (ground.folder / "out").symlink_to(precious)
    (ground.folder / "rows.jsonl").symlink_to(precious / "thesis.txt")
    ground.rmlab("export", "rows.jsonl", *SMOKE, "--force").refused(3, "is a link")
    ground.rmlab("export", "out", "--to", "datasets", *SMOKE, "--force").refused(3, "is a link")
    ground.rmlab("release", "out", *SMOKE, "release.license=CC-BY-4.0", "--force").refused(3, "is a link")
    _is_kept(precious)


@case("a set's record that names files elsewhere removes none of them", quick=False)
def _(ground: Ground) -> None:
    ground.smoke()
    release = ("release", "set", *SMOKE, "release.license=CC-BY-4.0")
    ground.rmlab(*release).fine()
    record, precious = ground.folder / "set" / "set.json", _precious(ground)
    record.write_text(record.read_text().replace('"prompts.parquet"', '"../precious/thesis.txt"', 1))
    ground.rmlab(*release, "--force").fine()
    _is_kept(precious)


@case("parts whose inputs are gone are not set aside by --repair")
def _(ground: Ground) -> None:
    ground.smoke()
    embed = ground.artifact("embed")
    part = next(embed.glob("part-*"))
    part.write_bytes(part.read_bytes()[:-9])
    shutil.rmtree(ground.artifact("sample"))
    ground.rmlab("verify", "--repair", str(embed)).refused(3, "is gone", "left as it is")
    assert part.is_file(), "the part was set aside"


@case("clean removes what is stale and nothing else, and verify is content")
def _(ground: Ground) -> None:
    ground.smoke()
    kept = sorted(ground.folder.glob("artifacts/*/*"))
    rows = ground.folder / "rows.jsonl"
    rows.write_text("".join(f'{{"prompt": "say {i}"}}\n' for i in range(40)))
    mine = (*SMOKE, "prompts=file", "prompts.path=rows.jsonl", "prompts.template=plain")
    ground.rmlab("sample", *mine).fine()
    rows.write_text(rows.read_text() + '{"prompt": "say more"}\n')
    ground.rmlab("verify", "all").refused(3, "rmlab clean --stale")
    before = sorted(ground.folder.rglob("*"))
    ground.rmlab("clean").fine("stale", "remove: rmlab clean")
    assert sorted(ground.folder.rglob("*")) == before, "a dry run changed something"
    ground.rmlab("clean", "--stale", "--remove").fine("2 of 2")
    assert all(place.exists() for place in kept), "what is current is gone"
    ground.rmlab("verify", "all").fine()
