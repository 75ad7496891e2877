"""Artifacts that the system does not let this process read: each makes a row, and hides no other."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_settings import SMALL

OTHER = 65534  # nobody


@pytest.fixture
def made(small_run, tmp_path, monkeypatch) -> Path:
    shutil.copytree(small_run, tmp_path / "artifacts")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "artifacts"


def of_stage(made: Path, stage: str) -> Path:
    return sorted(made.joinpath(stage).glob("*"))[0]


@pytest.fixture
def withheld(monkeypatch):
    """Makes the system refuse a file or a folder with all that is in it, as it would another user."""
    places: list[tuple[Path, int]] = []

    def refuse(place: object) -> None:
        if isinstance(place, str | os.PathLike) and places:
            path = Path.cwd() / place
            for known, number in places:
                if known in (path, *path.parents):
                    raise OSError(number, os.strerror(number), str(place))

    def guarded(module, name):
        real = getattr(module, name)

        def call(place=".", *rest, **named):
            refuse(place)
            return real(place, *rest, **named)

        monkeypatch.setattr(module, name, call)

    for name in ("open", "stat", "scandir", "listdir"):
        guarded(os, name)
    guarded(__import__("io"), "open")
    return lambda place, number=errno.EACCES: places.append((place, number))


def within(stage: str, what: str, made: Path) -> Path:
    artifact = of_stage(made, stage)
    names = {"manifest": "manifest.json", "copy": ".manifest-copy.json", "file": "part-00000.parquet"}
    return artifact.parent if what == "stage" else artifact / names[what] if what in names else artifact


@pytest.mark.parametrize(
    ("what", "number"),
    [(what, errno.EACCES) for what in ("stage", "folder", "manifest", "copy")] + [("file", errno.ESTALE)],
)
def test_verify_all_has_a_row_for_it(cli, made, withheld, what, number):
    withheld(within("sample", what, made), number)
    result = cli("verify", "all", "--json")
    assert result.code == 3 and "unreadable" in result.line and os.strerror(number) in result.line
    found = [row["state"] for row in result.json["artifacts"]]
    n = len(list(made.glob("[!.l]*/*"))) if what != "stage" else len(found)
    assert found.count("unreadable") == 1 and len(found) == n and set(found) == {"whole", "unreadable"}
    assert "repair" not in result.line


@pytest.mark.parametrize("what", ["folder", "manifest", "file"])
def test_status_has_a_row_for_it_and_no_run_begins_it_anew(cli, made, withheld, what):
    place = within("sample", what, made)
    withheld(place)
    rows = cli("status", *SMALL, "--json").json["stages"]
    states = {row["stage"]: row["state"] for row in rows}
    assert states["sample"] == "unreadable" and states["prompts"] == "done" and len(states) > 5
    assert "Permission denied" in next(row["detail"] for row in rows if row["stage"] == "sample")
    planned = cli("run", *SMALL, "--dry-run", "--json").json["stages"]
    assert [s["state"] for s in planned if s["stage"] == "sample"] == ["unreadable"]
    result = cli("run", *SMALL)
    assert result.code == 3 and "Permission denied" in result.line and "another out=" in result.line
    assert cli("inspect", of_stage(made, "sample")).code == 3


@pytest.mark.parametrize("what", ["stage", "folder", "manifest"])
def test_clean_has_a_row_for_it_and_leaves_it(cli, made, withheld, what):
    place = within("sample", what, made)
    withheld(place)
    result = cli("clean", "--json")
    assert result.code == 0, result.err
    items = [item for item in result.json["items"] if item["kind"] == "artifact"]
    row = next(item for item in items if item["rules"] == ["unreadable"])
    assert Path(row["path"]).name == place.name or what == "manifest"
    assert "Permission denied" in row["kept"] and "ask its owner" in row["kept"]
    assert not [item for item in items if not item["kept"]], "what it was made of is no rubbish"


def test_another_sweep_that_cannot_be_read_ends_none(cli, made, withheld):
    other = made / "sweep" / "of-another-0123456789abcdef"
    other.mkdir(parents=True)
    withheld(other)
    result = cli("sweep", *SMALL[:-1], "head=linear", "seed=0,1", "--dry-run", "--json")
    assert result.code == 0, result.err
    assert result.json["cells"] == 2


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user may enter; those of pytest are closed to them."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_another_user_sees_a_row_for_what_is_not_theirs(small_run, open_folder):
    """The same with real permissions."""
    made = open_folder / "artifacts"
    shutil.copytree(small_run, made)
    of_stage(made, "sample").chmod(0o700)
    (of_stage(made, "embed") / "manifest.json").chmod(0o600)
    code = (
        "import contextlib, io, os, sys\n"
        "from rmlab.cli import main\n"
        # what is imported when a command starts: the other user may not reach Python's library
        "import email.parser, rmlab.commands.guard, rmlab.commands.verify\n"
        "sys.argv = ['rmlab', 'verify', '--help']\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): main()\n"
        f"sys.argv = ['rmlab', 'verify', {str(made)!r}, '--json']\n"
        f"os.setgroups([]); os.setgid({OTHER}); os.setuid({OTHER})\n"
        "main()"
    )
    environment = {**os.environ, "RMLAB_CACHE": str(open_folder / "cache"), "HOME": str(open_folder)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3 and "Traceback" not in done.stderr, done.stderr
    states = {Path(row["path"]).parent.name: row["state"] for row in json.loads(done.stdout)["artifacts"]}
    assert states["sample"] == states["embed"] == "unreadable" and states["prompts"] == "whole"


def test_artifacts_that_came_without_their_hidden_files_are_whole(cli, made):
    """As after rsync --exclude '.*', or cp folder/*."""
    hidden = [path for path in made.rglob(".*") if path.is_file()]
    for path in hidden:
        path.unlink()
    result = cli("verify", "all", "--json")
    found = result.json["artifacts"]
    assert result.code == 0 and {row["state"] for row in found} == {"whole"}
    assert all("skips hidden files" in row["why"] for row in found)
    assert cli("status", *SMALL).out.rstrip().endswith("all done")
    assert cli("verify", "all", "--repair").code == 0
    assert not [p for p in hidden if p.name != ".lock" and not p.is_file()]
    assert not any(row["why"] for row in cli("verify", "all", "--json").json["artifacts"])


def test_parts_that_came_without_their_hidden_working_folder(cli, made):
    """As after the same transfer of what was begun: it cannot be gone on with, and nothing says so but this."""
    begun = of_stage(made, "sample")
    for hidden in (".manifest-copy.json", ".lock", "manifest.json"):
        (begun / hidden).unlink()
    assert "skips hidden files" in cli("verify", begun, "--json").json["artifacts"][0]["why"]
    result = cli("sample", *SMALL)
    assert result.code == 3 and "no record" in result.line and "skips hidden files" in result.line
    assert ".work" in result.line and (begun / "part-00000.parquet").is_file()
    row = next(r for r in cli("status", *SMALL, "--json").json["stages"] if r["stage"] == "sample")
    assert row["state"] == "begun" and "skips hidden files" in row["detail"]
