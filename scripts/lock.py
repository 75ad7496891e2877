"""Hashes of all that set-up installs: python lock.py writes locks/ from the constraints (see `make lock`).

A lock names, for each package, the version of the constraints and the SHA-256 of every wheel that a CPython
of 3.11 or newer can take on Linux or macOS; of a package without such a wheel, that of its source. The hashes
are those of the package index that pip is set to; --index names another.

--check asks no index: it tells whether the locks have the versions of the constraints, with hashes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.parse import unquote, urldefrag, urljoin
from urllib.request import Request, urlopen

from rmlab.processes import run

CONSTRAINTS = ("constraints.txt", "constraints-vllm.txt", "constraints-audit.txt")
_PART = re.compile(r"# (locks/[a-z]+\.txt): ")
_PIN = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)")
_ENTRY = re.compile(r"(\S+==\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")
_FIRST = "# Made by `make lock` from the constraints; change a version there.\n"
_OLDEST = 11  # of Python 3
_PLATFORM = re.compile(r"any|(many)?linux\w*_(x86_64|aarch64)|macosx_\w+_(x86_64|arm64|universal2)")
_JSON = "application/vnd.pypi.simple.v1+json"
_SOURCE = (".tar.gz", ".zip")


class Wrong(Exception):
    """A constraint, a lock or an answer of the index that cannot be used; the message is one line."""


class File(NamedTuple):
    """A file of a release; sha256: empty if the index does not say it."""

    name: str
    url: str
    sha256: str


def parts(root: Path) -> dict[str, dict[str, str]]:
    """Each lock with the version of each of its packages, as the constraints say. Lines before the first
    heading, such as torch's, are in no lock."""
    found: dict[str, dict[str, str]] = {}
    for file in CONSTRAINTS:
        part: dict[str, str] = {}
        for line in (root / file).read_text(encoding="utf-8").splitlines():
            if heading := _PART.match(line):
                part = found.setdefault(heading[1], {})
            elif pin := _PIN.fullmatch(line.strip()):
                part[normal(pin[1])] = pin[2]
            elif line.strip() and not line.startswith("#"):
                raise Wrong(f"{file}: '{line.strip()}' is no exact version; write name==version")
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def text_of(entries: dict[str, list[str]]) -> str:
    """A lock file; entries: the hashes of each name==version."""
    lines = (" \\\n".join([pin, *(f"    --hash=sha256:{h}" for h in entries[pin])]) for pin in entries)
    return _FIRST + "".join(f"{line}\n" for line in lines)


def problems(root: Path) -> Iterator[str]:
    """What is wrong with the locks, as far as the constraints tell."""
    wanted = parts(root)
    for extra in sorted({f"locks/{p.name}" for p in (root / "locks").glob("*")} - set(wanted)):
        yield f"{extra}: no constraints are of this name"
    for lock, versions in wanted.items():
        file = root / lock
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        entries = {pin: re.findall(r"[0-9a-f]{64}", hashes) for pin, hashes in _ENTRY.findall(text)}
        pins = [f"{name}=={version}" for name, version in versions.items()]
        yield from (f"{lock}: {pin} is missing" for pin in pins if pin not in entries)
        yield from (f"{lock}: {pin} is not in the constraints" for pin in entries if pin not in pins)
        if text != text_of(entries):
            yield f"{lock}: holds more than versions and hashes"


def takes(wheel: str) -> bool:
    """True if a CPython that rmlab runs on may install a wheel of this name on Linux or macOS."""
    python, abi, platform = (part.split(".") for part in wheel.removesuffix(".whl").split("-")[-3:])
    for tag in python:
        version = re.fullmatch(r"(py|cp)3(\d*)", tag)
        if version is None:
            continue
        is_new = int(version[2] or 0) >= _OLDEST
        fits = tag in abi and is_new, "abi3" in abi, "none" in abi and (version[1] == "py" or is_new)
        if any(fits):
            return any(_PLATFORM.fullmatch(p) for p in platform)
    return False


class Index:
    """A package index: its pages list the files of a package."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/") + "/"

    def hashes(self, name: str, version: str) -> list[str]:
        """Of every file of the release that set-up may take."""
        release = [f for f in self._files(name) if _is_of(f.name, name, version)]
        wheels = [f for f in release if f.name.endswith(".whl") and takes(f.name)]
        sources = [f for f in release if f.name.endswith(_SOURCE)]
        if not (chosen := wheels or sources):
            raise Wrong(f"{name}=={version}: the index has no file of it for Linux or macOS")
        return sorted({f.sha256 or hashlib.sha256(_fetched(f.url)[0]).hexdigest() for f in chosen})

    def _files(self, name: str) -> list[File]:
        place = urljoin(self.address, f"{name}/")
        page, kind = _fetched(place, f"{_JSON}, text/html;q=0.5")
        if kind == _JSON:
            listed = json.loads(page)["files"]
            return [
                File(f["filename"], urljoin(place, f["url"]), f["hashes"].get("sha256", "")) for f in listed
            ]
        links = _Links()
        links.feed(page.decode("utf-8"))
        return [_linked(urljoin(place, link)) for link in links.found]


class _Links(HTMLParser):
    """The addresses that a page of an index links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for key, value in attrs if tag == "a" and key == "href" and value]


def _linked(link: str) -> File:
    url, fragment = urldefrag(link)
    kind, _, digest = fragment.partition("=")
    return File(unquote(url.rpartition("/")[2]), url, digest if kind == "sha256" else "")


def _is_of(file: str, name: str, version: str) -> bool:
    """True for the files of a release: NAME-VERSION-tags.whl and NAME-VERSION.tar.gz."""
    if file.endswith(".whl"):
        found, of = file.split("-")[:2]
    else:
        ending = next((ending for ending in _SOURCE if file.endswith(ending)), "")
        found, _, of = file.removesuffix(ending).rpartition("-")
    return normal(found) == name and of == version


def _fetched(url: str, accept: str = "*/*") -> tuple[bytes, str]:
    try:
        with urlopen(Request(url, headers={"Accept": accept}), timeout=120) as answer:
            return answer.read(), answer.headers.get_content_type()
    except (URLError, OSError, ValueError) as error:
        raise Wrong(f"{url}: {error}") from None


def pips_index() -> str:
    """The index that pip is set to, or the one that it asks where nothing is set."""
    from pip._internal.models.index import PyPI

    ask = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    told = run(ask, capture_output=True, text=True).stdout.strip()
    return os.environ.get("PIP_INDEX_URL") or told or str(PyPI.simple_url)


def write(root: Path, index: Index) -> None:
    """Writes all locks, or none where a package cannot be looked up."""
    wanted = parts(root)
    pins = list(dict.fromkeys(pin for versions in wanted.values() for pin in versions.items()))
    with ThreadPoolExecutor(8) as pool:
        found = dict(zip(pins, pool.map(lambda pin: index.hashes(*pin), pins), strict=True))
    (root / "locks").mkdir(exist_ok=True)
    for lock, versions in wanted.items():
        entries = {f"{name}=={version}": found[name, version] for name, version in versions.items()}
        (root / lock).write_text(text_of(entries), encoding="utf-8")
        print(f"lock: {lock}: {len(entries)} packages, {sum(map(len, entries.values()))} files")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare the locks with the constraints")
    parser.add_argument("--index", help="address of a package index, as for pip --index-url")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="the repository")
    given = parser.parse_args(arguments)
    try:
        if not given.check:
            write(given.root, Index(given.index or pips_index()))
        found = list(problems(given.root))
    except Wrong as error:
        found = [str(error)]
    for problem in found:
        print(f"lock: {problem}" + ("; run: make lock" if given.check else ""), file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
