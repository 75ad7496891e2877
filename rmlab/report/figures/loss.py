"""The loss of supervised fine-tuning."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from rmlab.report.figures.svg import COLOURS, draw
from rmlab.report.wording import number, shorten

LOSS_SIZE = (460, 260)
_STYLES = (("muted", "-", ""), ("series-1", "-", "o"), ("series-2", "--", "s"))
_NAMES = {"train": "train: each step's demonstrations", "validation": "validation: held-out demonstrations"}


def sft_loss(log: pd.DataFrame) -> str:
    """Loss against optimiser step, train beside what is held out."""
    log = log.dropna(subset="loss").sort_values("step")
    splits = sorted(log["split"].unique(), key=lambda s: (s != "train", s))
    ends = [f"{s} {number(log.loc[log['split'] == s, 'loss'].iloc[-1])}" for s in splits]
    alt = f"Line chart of the fine-tuning loss against step; last values: {', '.join(ends)}."
    return draw("sft-loss", alt, LOSS_SIZE, partial(_paint_loss, log=log, splits=splits)) if splits else ""


def _paint_loss(figure: Figure, log: pd.DataFrame, splits: list[str]) -> None:
    axes = figure.add_subplot()
    for split, (role, dashes, marker) in zip(splits, _STYLES, strict=False):
        rows = log[log["split"] == split]
        look: dict[str, Any] = {
            "color": COLOURS[role],
            "linestyle": dashes,
            "marker": marker if len(rows) > 1 else "o",
            "markersize": 4,
        }
        axes.plot(
            rows["step"], rows["loss"], linewidth=1.6, label=_NAMES.get(split, shorten(split, 20)), **look
        )
    axes.set(xlabel="optimiser step", ylabel="loss a completion token (nats)")
    axes.grid(axis="y")
    axes.legend(frameon=False, loc="best", labelcolor=COLOURS["ink"])
