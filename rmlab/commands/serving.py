"""The command lines of `rmlab score` and `rmlab serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rmlab.commands.import_export import Long, Unusable
from rmlab.commands.options import (
    AllowModules,
    AsJson,
    BaseModel,
    Column,
    Device,
    TrustRemoteCode,
    columns_of,
)


def score(
    source: Annotated[str, typer.Argument(metavar="FILE", help="JSONL, CSV or Parquet; -: JSON lines.")],
    head: Annotated[Path, typer.Option("--head", help="artifacts/fit_rm/NAME, or a saved reward model.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="A .parquet or .jsonl file; else JSON lines are printed.")
    ] = None,
    form: Annotated[str, typer.Option("--form", help="The form, if the columns fit several.")] = "auto",
    column: Column = None,
    unusable: Annotated[
        Unusable, typer.Option("--unusable", help="What becomes of rows with an empty answer.")
    ] = Unusable.error,
    long: Annotated[Long, typer.Option("--long", help="What becomes of texts too long to read.")] = (
        Long.cut
    ),
    device: Device = "auto",
    base_model: BaseModel = None,
    allow_modules: AllowModules = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Score texts with a fitted head: prompts with responses, or preference data of any form.

      rmlab score pairs.jsonl --head artifacts/fit_rm/linear-0123456789abcdef --out scores.parquet

      echo '{"prompt": "Hello", "response": "Hi!"}' | rmlab score - --head my-reward-model

    A line for each response has the number of its row and its score, which has mean 0 and standard
    deviation 1 on the responses that the head was fitted on. For preferences the accuracy is told.
    """
    from rmlab.commands.score import ScoreOptions, score_command

    modules = tuple(allow_modules or ())
    names = columns_of(column or ())
    options = ScoreOptions(
        head, out, form, names, unusable.value, long.value, device, base_model, modules, trust_remote_code
    )
    score_command(source, options, as_json)


def serve(
    head: Annotated[Path, typer.Argument(metavar="HEAD", help="artifacts/fit_rm/NAME, or a saved model.")],
    host: Annotated[
        str, typer.Option("--host", help="The address to listen at; one that others reach needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file", help="A file with the token that clients must send; or RMLAB_SERVE_TOKEN."
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", help="A further name of the server in the Host header; may be repeated."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="What responses call the model; else its folder's name.")
    ] = None,
    device: Device = "auto",
    base_model: BaseModel = None,
    allow_modules: AllowModules = None,
    trust_remote_code: TrustRemoteCode = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse texts too long to read, and empty responses.")
    ] = False,
    batch_tokens: Annotated[
        int,
        typer.Option("--batch-tokens", min=0, help="Tokens scored together; 0: 8,192, on a GPU 65,536."),
    ] = 0,
    queue: Annotated[int, typer.Option("--queue", min=1, help="Texts that may wait; then 503.")] = 8192,
    max_body: Annotated[int, typer.Option("--max-body", min=1, help="Bytes of a request.")] = 8 * 2**20,
    max_texts: Annotated[int, typer.Option("--max-texts", min=1, help="Texts of a request.")] = 2048,
    max_chars: Annotated[int, typer.Option("--max-chars", min=1, help="Characters of a text.")] = 1_000_000,
    header_seconds: Annotated[
        float, typer.Option("--header-seconds", min=0.05, help="In which a request's headers must arrive.")
    ] = 10.0,
    body_seconds: Annotated[
        float, typer.Option("--body-seconds", min=0.05, help="In which its body must arrive.")
    ] = 30.0,
    drain_seconds: Annotated[
        int, typer.Option("--drain-seconds", min=1, help="The longest that accepted requests delay the end.")
    ] = 300,
    access_log: Annotated[
        bool, typer.Option("--access-log", help="Tell route, status, sizes and time of each request.")
    ] = False,
    log_requests: Annotated[
        bool, typer.Option("--log-requests", help="Tell all that clients send, too.")
    ] = False,
) -> None:
    """Serve a fitted head over HTTP, to TRL, verl, OpenRLHF, slime and whoever speaks vLLM's /classify.

      rmlab serve artifacts/fit_rm/linear-0123456789abcdef

      rmlab serve my-reward-model --host 0.0.0.0 --token-file token.txt

    POST /score, /get_reward and /classify give rewards, GET /health and /metrics tell of the server. Many
    small requests are scored together. Ctrl-C and SIGTERM end it when all that it accepted is answered. The
    page docs/serve.md has every form of request, and rmlab.clients the functions for TRL and verl.
    """
    from rmlab.commands.serve import ServeOptions, serve_command
    from rmlab.serve.limits import Limits

    limits = Limits(
        batch_tokens=batch_tokens,
        queue=queue,
        max_body=max_body,
        max_texts=max_texts,
        max_chars=max_chars,
        header_seconds=header_seconds,
        body_seconds=body_seconds,
        drain_seconds=drain_seconds,
        strict=strict,
    )
    options = ServeOptions(
        head,
        name,
        host,
        port,
        token_file,
        tuple(allow_host or ()),
        limits,
        access_log,
        log_requests,
        device,
        base_model,
        tuple(allow_modules or ()),
        trust_remote_code,
    )
    serve_command(options)
