"""What the report says of held-out pairs, where an experiment has them."""

from __future__ import annotations

import pandas as pd

from rmlab.artifacts.artifact import Artifact
from rmlab.report.content import HeldOutFrames


def heldout_frames(heldout: Artifact) -> HeldOutFrames:
    return HeldOutFrames(
        accuracy=heldout.read("heldout").to_pandas(),
        pairs=heldout.read("heldout_pairs").to_pandas(),
        calibration=heldout.read("heldout_calibration").to_pandas(),
        agreement=heldout.read("heldout_agreement").to_pandas(),
        folds=heldout.manifest.config["crossval"]["folds"],
        baseline=heldout.manifest.metrics["baseline"],
    )


def heldout_verdict(frames: HeldOutFrames, chosen: str, chosen_by: str) -> list[str]:
    """The chosen head on pairs that it was not fitted on, against a coin and against the baseline."""
    mine = frames.accuracy[frames.accuracy["arm"] == chosen].set_index("split")
    cv, test = mine.loc["cv"], mine.loc["test"]
    sentences = [
        f"{chosen}, chosen by {chosen_by}, prefers the answer that the annotators preferred in "
        f"{_share(cv)} of {cv['n_pairs']:,} held-out pairs by {frames.folds}-fold cross-validation "
        f"over {cv['n_groups']:,} prompt groups, and in {_share(test)} of {test['n_pairs']:,} test pairs."
    ]
    over, low, high = (100 * cv[name] for name in ("over", "over_low", "over_high"))
    sentences.append(
        f"Less {frames.baseline.replace('_', ' ')} on the same folds: {over:+.1f} points [{low:+.1f}, "
        f"{high:+.1f}]: {_reading(low, high)}."
    )
    return sentences


def _share(row: pd.Series) -> str:
    return f"{row['value']:.1%} [{row['low']:.1%}, {row['high']:.1%}]"


def _reading(low: float, high: float) -> str:
    if low > 0:
        return "better, beyond the interval"
    return "worse, beyond the interval" if high < 0 else "undecided on these pairs"
