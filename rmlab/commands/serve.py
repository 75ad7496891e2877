"""rmlab serve: answer requests for the rewards of texts over HTTP."""

from __future__ import annotations

import json
import math
import shlex
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any

from rmlab.config.optional_packages import require
from rmlab.errors import InputError, RmlabError
from rmlab.models.compute import check_device, has_gpu
from rmlab.models.text.rendering import Exchange
from rmlab.pipeline.problems import Problems
from rmlab.reward.model import RewardModel
from rmlab.serve import address
from rmlab.serve.limits import ON_CPU, ON_GPU, Limits
from rmlab.terminal import note, say

if TYPE_CHECKING:
    from rmlab.serve.scorer import ModelScorer


@dataclass(frozen=True)
class ServeOptions:
    """head: the artifact or folder of a fitted head; name: what clients call it; host, port: where to listen;
    token_file: the file of the token that clients send; allow_hosts: further names of the server; limits: of
    what is accepted, with batch_tokens 0 for that of the device; access_log, log_requests: what is told of
    requests; base_model, allow_modules, trust_remote_code: as for `rmlab score`."""

    head: Path
    name: str | None
    host: str
    port: int
    token_file: Path | None
    allow_hosts: tuple[str, ...]
    limits: Limits
    access_log: bool
    log_requests: bool
    device: str
    base_model: str | None
    allow_modules: tuple[str, ...]
    trust_remote_code: bool


def serve_command(how: ServeOptions) -> None:
    model, listener, token = _ready(how)
    with listener:
        _serve(model, listener, token, how)


def _ready(how: ServeOptions) -> tuple[RewardModel, socket, str | None]:
    """Returns the head, a socket at the address and the token, or tells all that is wrong before any model is
    loaded."""
    problems = Problems()
    with problems.caught():
        require("rmlab serve", "starlette", "uvicorn")
    with problems.caught():
        how.limits.check()
    with problems.caught():
        check_device(how.device)
    model: RewardModel | None = None
    with problems.caught():
        model = RewardModel.load(
            how.head,
            device=how.device,
            base_model=how.base_model,
            allow_modules=how.allow_modules,
            trust_remote_code=how.trust_remote_code,
        )
        model.find_model()
    token: str | None = None
    listener: socket | None = None
    with problems.caught():
        token = address.read_token(how.token_file)
        listener = address.bound(how.host, how.port)
        if token is None and not address.is_loopback(listener):
            raise InputError(
                f"others can reach --host {how.host}, so the server needs a token: write one into a file "
                f"with `openssl rand -hex 32 > FILE` and give --token-file FILE, or set {address.TOKEN}"
            )
    if problems.errors and listener is not None:
        listener.close()
    problems.raise_all()
    assert model is not None and listener is not None
    return model, listener, token


def _serve(model: RewardModel, listener: socket, token: str | None, how: ServeOptions) -> None:
    from rmlab.serve.admission import Guard, host_name
    from rmlab.serve.app import Service
    from rmlab.serve.scorer import ModelScorer
    from rmlab.serve.server import run_server

    scorer = ModelScorer(model, how.name or how.head.resolve().name)
    _try(scorer)
    limits = how.limits
    if not limits.batch_tokens:
        on_gpu = how.device == "cuda" or (how.device == "auto" and has_gpu())
        limits = replace(limits, batch_tokens=ON_GPU if on_gpu else ON_CPU)
    hosts = frozenset({how.host.lower(), *map(host_name, how.allow_hosts)})
    is_checked = address.is_loopback(listener) or bool(how.allow_hosts)
    logs = how.access_log or how.log_requests
    service = Service(scorer, limits, Guard(token, hosts if is_checked else None), note if logs else None)
    service.shows_requests = how.log_requests
    address.listen(listener, how.host, how.port)
    warnings.filterwarnings("ignore", message=".*were longer than the embedding model reads")
    if not run_server(service, listener, lambda: say(*_greeting(scorer, listener, _shell_token(how, token)))):
        raise KeyboardInterrupt
    if service.cut_off:
        raise RmlabError(
            f"{service.cut_off} requests were given up, as they took longer than --drain-seconds "
            f"{limits.drain_seconds}; give them more time with it"
        )


def _try(scorer: ModelScorer) -> None:
    """Loads the model and scores a text, so that what is wrong with it shows before anybody asks."""
    message = {"role": "user", "content": "How are you?"}
    texts = [Exchange("first", f"first-{k}", [message], text) for k, text in enumerate(_ANSWERS)]
    for score in scorer.score_exchanges(texts).score:
        if not math.isfinite(score):
            raise InputError(f"the head gave {score} for a short text; it can score nothing, fit it again")
    scorer.load()


_ANSWERS = ("I am well, thank you.", "Go away.")


def _shell_token(how: ServeOptions, token: str | None) -> str:
    """How a shell names the token without showing it; "" where none is asked for."""
    if token is None:
        return ""
    return f"${address.TOKEN}" if how.token_file is None else f"$(cat {shlex.quote(str(how.token_file))})"


def _greeting(scorer: ModelScorer, listener: socket, shell_token: str) -> list[str]:
    """Tells where the server listens, what it serves, and a command that scores texts."""
    place = address.url(listener)
    body: dict[str, Any] = {"prompts": ["How are you?"] * 2, "responses": list(_ANSWERS)}
    token = f' -H "Authorization: Bearer {shell_token}"' if shell_token else ""
    return [
        f"serving {scorer.name} at {place} ({scorer.about})",
        f"try it: curl {place}/score -H 'Content-Type: application/json'{token} -d '{json.dumps(body)}'",
    ]
