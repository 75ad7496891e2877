"""What a machine or a batch system sets: limits of the shell, odd environments, odd current folders."""

from __future__ import annotations

import os
import shutil
import subprocess

from siege.base import RMLAB, SMOKE, Cannot, Ground, case, judge
from siege.command import Ended


def _goes_on(ground: Ground, ended: Ended, *, may_fail: bool = True) -> None:
    """It was done, or one line says why not; then the same command does it."""
    assert "Traceback" not in ended.text, f"it shows a traceback: {ended.text[-500:]}"
    if ended.code:
        assert may_fail, ended.tail()
        ended.refused(ended.code)
        assert ended.code in (1, 3), ended.tail()
    ground.rmlab("sample", *SMOKE).fine()


@case("files may have some kilobytes at most")
def _(ground: Ground) -> None:
    _goes_on(ground, ground.rmlab("sample", *SMOKE, limits="-f 4"))


@case("few files may be open", quick=False)
def _(ground: Ground) -> None:
    _goes_on(ground, ground.rmlab("sample", *SMOKE, limits="-n 24"))


@case("no core, no locked memory, a small stack", quick=False)
def _(ground: Ground) -> None:
    _goes_on(ground, ground.rmlab("sample", *SMOKE, limits="-c 0 -l 0 -s 512"), may_fail=False)


@case("an odd environment", quick=False)
def _(ground: Ground) -> None:
    odd = [
        {"LC_ALL": "POSIX", "LANG": None, "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
        {"TERM": "owned", "COLUMNS": "0", "LINES": "-1", "NO_COLOR": "1"},
        {"COLUMNS": "1", "FORCE_COLOR": "1", "PYTHONOPTIMIZE": "1"},
        {"TZ": "Nowhere/Land", "SOURCE_DATE_EPOCH": "0", "PYTHONHASHSEED": "random"},
        {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "PYTHONDEVMODE": None},
        {"OMP_NUM_THREADS": "1000", "MKL_NUM_THREADS": "none"},
        {"XDG_CACHE_HOME": "/proc/none", "MPLCONFIGDIR": "/proc/none", "MPLBACKEND": "owned"},
        {"HYDRA_FULL_ERROR": "1", "RMLAB_OUT": "/proc/none"},
    ]
    for number, env in enumerate(odd):
        ended = ground.rmlab("run", *SMOKE, f"out=out-{number}", env=env)
        assert ended.code == 0 and "Traceback" not in ended.text, f"{env}: {ended.tail()}"
    # LightGBM cannot be imported without docstrings
    without = ground.rmlab("run", *SMOKE, "out=out-0", "seed=5", env={"PYTHONOPTIMIZE": "2"})
    without.refused(1, "LightGBM", "PYTHONOPTIMIZE=1")


@case("no folder for temporary files", quick=False)
def _(ground: Ground) -> None:
    _goes_on(
        ground, ground.rmlab("sample", *SMOKE, env={"TMPDIR": str(ground.folder / "none")}), may_fail=False
    )


@case("current folders of odd names")
def _(ground: Ground) -> None:
    for name in ground.some(
        ("${oc.env:HOME}", "a b", "a'b\"c", "a\nb", "a=b,c", "-x", "é\u0301", "#1%n", "$HOME")
    ):
        place = ground.folder / name
        place.mkdir()
        ended = ground.rmlab("sample", *SMOKE, cwd=place)
        assert ended.code == 0, f"{name!r}: {ended.tail()}"
        assert sorted(p.name for p in place.iterdir()) == ["artifacts"], f"{name!r}: {list(place.iterdir())}"


@case("a current folder that is gone", quick=False)
def _(ground: Ground) -> None:
    (gone := ground.folder / "gone").mkdir()
    script = f'cd "{gone}" && rmdir "{gone}" && {RMLAB} sample {" ".join(SMOKE)}'
    ended = ground.start("-c", script, program=["bash"]).end()
    assert "Traceback" not in ended.text and ended.code != 0, ended.text[-300:]
    assert len(ended.lines) == 1 and "unexpected" not in ended.lines[0], ended.text[-300:]


@case("places for artifacts that cannot be")
def _(ground: Ground) -> None:
    (ground.folder / "file").write_text("mine")
    (ground.folder / "dangling").symlink_to("nowhere/at/all")
    (ground.folder / "around").symlink_to("around")
    os.mkfifo(ground.folder / "pipe")
    places = ("file", "file/x", "/dev/null", "/proc/x", "around", "pipe", "x" * 300, "''")
    ends = ground.each([["sample", *SMOKE, f"out={place}"] for place in places])

    def check(place: str, ended: Ended) -> None:
        assert ended.code in (1, 2, 3), ended.tail()
        ended.plain().refused(ended.code)

    judge(dict(zip(places, ends, strict=True)), check)
    assert (ground.folder / "file").read_text() == "mine", "a file was overwritten"


@case("a folder of artifacts that may be read alone", quick=False)
def _(ground: Ground) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        raise Cannot("a folder that may not be written to needs root and setpriv")
    ground.smoke()
    as_others = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
    subprocess.run(["chmod", "-R", "a-w", str(ground.folder / "artifacts")], check=True)
    ground.rmlab("status", *SMOKE, prefix=as_others).fine()
    ground.rmlab("verify", "all", prefix=as_others).fine()
    ended = ground.rmlab("fit-rm", *SMOKE, "seed=1", prefix=as_others)
    ended.refused(3, "nothing can be written into")
    subprocess.run(["chmod", "-R", "u+w", str(ground.folder / "artifacts")], check=True)
    ground.rmlab("fit-rm", *SMOKE, "seed=1").fine()
