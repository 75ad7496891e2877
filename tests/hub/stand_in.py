"""A model hub on loopback: what huggingface_hub asks of one to make repositories, commit, list and fetch."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LFS = (".safetensors", ".parquet")
TOKEN = "hf_secret_of_this_test"
_API = re.compile(r"/api/(model|dataset)s/([^/]+/[^/]+)(?:/(revision|tree|preupload|commit)/([^/?]+))?")
_FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Repo:
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    gated: bool = False

    @property
    def sha(self) -> str:
        return hashlib.sha1(b"".join(n.encode() + c for n, c in sorted(self.files.items()))).hexdigest()


@dataclass
class HubWorld:
    """repos: by type and name; asked: method and path of each request; changed: contents served in place of
    those listed; status: answered to all requests, unless 0; broken: files whose transfer ends half-way."""

    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    changed: dict[str, bytes] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    status: int = 0
    address: str = ""

    def commit(self, repo: Repo, lines: bytes) -> None:
        for line in map(json.loads, lines.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                repo.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repo.files[value["path"]] = self.blobs[value["oid"]]


def listed(name: str, content: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": blob}
    if name.endswith(LFS):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world: HubWorld

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, value: Any = None, **headers: str) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _handle(self) -> None:
        body, path = self._body(), unquote(urlsplit(self.path).path)
        self.world.asked.append((self.command, path))
        if self.world.status:
            return self._answer(self.world.status, {"error": f"token {TOKEN} in the answer"})
        if path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif path.endswith(".git/info/lfs/objects/batch"):
            self._batch(json.loads(body))
        elif path.startswith("/lfs/"):
            self.world.blobs[path.removeprefix("/lfs/")] = body
            self._answer(200, {})
        elif found := _FILE.fullmatch(path):
            self._file("dataset" if found[1] else "model", found[2], found[4])
        elif found := _API.fullmatch(path):
            self._api(found[1], found[2], found[3], found[4], body)
        else:
            self._answer(404, {"error": "no such page"})
        return None

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _create(self, asked: dict[str, Any]) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer(401, {"error": "who are you"})
        name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
        private = asked.get("private") or asked.get("visibility") == "private"
        self.world.repos[asked.get("type", "model"), name] = Repo(bool(private))
        return self._answer(200, {"url": f"{self.world.address}/{name}"})

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = [
            {**o, "actions": {"upload": {"href": f"{self.world.address}/lfs/{o['oid']}"}}}
            for o in asked["objects"]
        ]
        return self._answer(200, {"transfer": "basic", "objects": objects})

    def _repo(self, kind: str, name: str) -> Repo | None:
        """The repository, or None after it was answered that there is none for this user."""
        repo = self.world.repos.get((kind, name))
        if repo is None:
            self._answer(404, {"error": "no repo"}, X_Error_Code="RepoNotFound")
            return None
        if repo.gated:
            self._answer(403, {"error": "gated"}, X_Error_Code="GatedRepo")
            return None
        return repo

    def _api(self, kind: str, name: str, part: str | None, revision: str | None, body: bytes) -> None:
        repo = self._repo(kind, name)
        if repo is None:
            return None
        if revision and revision not in ("main", repo.sha):
            return self._answer(404, {"error": "no revision"}, X_Error_Code="RevisionNotFound")
        if part == "preupload":
            files = [
                {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(LFS) else "regular"}
                for f in json.loads(body)["files"]
            ]
            return self._answer(200, {"files": [{**f, "shouldIgnore": False, "oid": None} for f in files]})
        if part == "commit":
            self.world.commit(repo, body)
            url = f"{self.world.address}/{name}/commit/{repo.sha}"
            return self._answer(200, {"success": True, "commitOid": repo.sha, "commitUrl": url})
        if part == "tree":
            return self._answer(200, [listed(n, c) for n, c in repo.files.items()])
        siblings = [{"rfilename": n} for n in repo.files]
        about = {"id": name, "sha": repo.sha, "private": repo.private, "siblings": siblings, "tags": []}
        return self._answer(200, about)

    def _file(self, kind: str, name: str, path: str) -> None:
        repo = self._repo(kind, name)
        if repo is None:
            return None
        if path not in repo.files:
            return self._answer(404, {"error": "no file"}, X_Error_Code="EntryNotFound")
        content = self.world.changed.get(path, repo.files[path])
        if path in self.world.broken and self.command == "GET":
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            return None
        tag = hashlib.sha256(content).hexdigest()
        return self._answer(200, content, ETag=f'"{tag}"', X_Repo_Commit=repo.sha)


@contextmanager
def served() -> Iterator[HubWorld]:
    """Within, the stand-in answers at `address`."""
    world = HubWorld()
    handler = type("Handler", (_Handler,), {"world": world})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    world.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield world
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
