"""Installed from its wheel, rmlab works from any folder: conf/ and data/ are inside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from zipfile import ZipFile

import pytest
from licence_table import licence_of
from small_settings import SMALL

ROOT = Path(__file__).parents[1]


def assert_licences(wheel):
    """Each file of the wheel has its row in the table of licences."""
    files = [name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert {"rmlab/shipped/conf/config.yaml", "rmlab/cli.py", "rmlab/py.typed"} <= set(files)
    lacking = [name for name in files if licence_of(name.removeprefix("rmlab/shipped/")) is None]
    assert not lacking


@pytest.mark.slow
def test_the_wheel_runs_in_another_environment(tmp_path):
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(tmp_path / "dist"),
        str(ROOT),
    ]
    subprocess.run(build, check=True, capture_output=True)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    assert_licences(wheel)
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "v")], check=True)
    python = tmp_path / "v" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    # the heavy packages are this environment's; rmlab is the wheel's
    [place] = (tmp_path / "v" / "lib").glob("python*/site-packages")
    (place / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    (tmp_path / "elsewhere").mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [str(tmp_path / "v" / "bin" / "rmlab"), "run", *SMALL, "sft=none", "--json"]
    done = subprocess.run(
        command, cwd=tmp_path / "elsewhere", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    stages = json.loads(done.stdout)["stages"]
    assert (tmp_path / "elsewhere" / stages[0]["path"]).is_dir()
    where = subprocess.run(
        [str(python), "-c", "import rmlab; print(rmlab.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(tmp_path) in where.stdout
