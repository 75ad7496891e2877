"""The command lines of import and export."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rmlab.commands.options import (
    AllowModules,
    AsJson,
    BaseModel,
    ConfigDir,
    Device,
    DryRun,
    Force,
    Overrides,
    TrustRemoteCode,
)
from rmlab.errors import ConfigError


class Form(StrEnum):
    trl = "trl"
    datasets = "datasets"
    transformers = "transformers"
    folder = "folder"


class Dtype(StrEnum):
    float32 = "float32"
    bfloat16 = "bfloat16"


class Unusable(StrEnum):
    error = "error"
    drop = "drop"


class Long(StrEnum):
    cut = "cut"
    refuse = "refuse"


class PairsOption(StrEnum):
    all = "all"
    best = "best"


def import_(
    source: Annotated[
        str, typer.Argument(help="A file, a folder of arrays or of a dataset, or a dataset's name.")
    ],
    overrides: Overrides = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    force: Force = False,
    config_dir: ConfigDir = None,
) -> None:
    """Import preference data: pairs, rankings, votes, labels, scores or arrays, recognised by its columns.

    The whole file is checked first. form= names its form; unusable=drop leaves out records without
    information.
    """
    from rmlab.commands.importing import import_command

    import_command(source, overrides or [], dry_run, as_json, force, config_dir)


def export(
    out: Annotated[Path, typer.Argument(help="The file (.jsonl, .parquet) or the folder to write.")],
    overrides: Overrides = None,
    to: Annotated[
        Form,
        typer.Option(
            "--to",
            help="trl: a file of preference rows; datasets: a folder of them; transformers: a head as a "
            "sequence classifier; folder: a head with all it needs.",
        ),
    ] = Form.trl,
    head: Annotated[
        Path | None, typer.Option("--head", help="The head: artifacts/fit_rm/NAME, or a saved reward model.")
    ] = None,
    dtype: Annotated[Dtype, typer.Option("--dtype", help="Of a classifier's weights.")] = Dtype.float32,
    device: Device = "auto",
    base_model: BaseModel = None,
    allow_modules: AllowModules = None,
    trust_remote_code: TrustRemoteCode = False,
    source: Annotated[
        Path | None, typer.Option("--from", help="The folder of an annotate artifact, instead of settings.")
    ] = None,
    pairs: Annotated[
        PairsOption,
        typer.Option("--pairs", help="all: all pairs of a prompt; best: its best against its worst answer."),
    ] = PairsOption.all,
    licence: Annotated[
        str, typer.Option("--license", help="For the dataset's card, such as mit.")
    ] = "unknown",
    as_json: AsJson = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    config_dir: ConfigDir = None,
) -> None:
    """Write what other programs read: preferences for TRL and datasets, or a fitted head as a model.

      rmlab export pairs.jsonl experiment=demo

      rmlab export my-rm --to transformers --head artifacts/fit_rm/NAME

      rmlab export my-rm --to folder --head artifacts/fit_rm/NAME

    Preferences leave ties out. transformers, vLLM, TRL and OpenRLHF load a sequence classifier; it is made of
    a head that is linear in embeddings of embedder.pooling=end at the last layer. --to folder keeps any head
    together with its embedding model, for `rmlab score`, `rmlab serve` and RewardModel.load.
    """
    if to in (Form.transformers, Form.folder):
        from rmlab.commands.export_head import HeadExport, export_head_command

        others = {
            (overrides or [""])[0]: overrides,
            "--from": source,
            "--force": force,
            "--pairs": pairs is not PairsOption.all,
            "--config-dir": config_dir,
            "--dtype": to is Form.folder and dtype is not Dtype.float32,
        }
        if given := next((name for name, is_given in others.items() if is_given), None):
            raise ConfigError(f"--to {to.value} writes a head into a new folder; leave out {given}")
        how = HeadExport(
            "transformers" if to is Form.transformers else "folder",
            head,
            dtype.value,
            licence,
            device,
            base_model,
            allow_modules or (),
            trust_remote_code,
        )
        export_head_command(out, how, as_json)
        return
    if head or base_model or allow_modules or trust_remote_code or dtype is not Dtype.float32:
        raise ConfigError(
            f"--to {to.value} writes preferences and no head; add --to transformers or --to folder to --head"
        )
    from rmlab.commands.exporting import ExportOptions, export_command

    options = ExportOptions("trl" if to is Form.trl else "datasets", pairs.value, licence, force)
    export_command(out, overrides or [], source, options, as_json, config_dir)
