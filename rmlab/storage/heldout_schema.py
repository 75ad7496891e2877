"""The tables of the stages crossval and heldout: scores and accuracy on pairs that no head was fitted on."""

from __future__ import annotations

import pyarrow as pa

from rmlab.storage.schemas import Column, Table

_PROMPT = Column("prompt_id", pa.string(), "the prompt")
_ARM = Column("arm", pa.string(), "name of the head or control")
_KIND = Column("kind", pa.string(), "head or control")
_HELD_OUT = Column(
    "split",
    pa.string(),
    "test: test prompts, by the fitted head; cv: all prompts, each by the head fitted without its fold",
)

CROSSVAL_SCORES = Table(
    "crossval_scores",
    "crossval",
    "crossval_scores.parquet",
    ("response_id",),
    "Scores of all responses in cross-validation, each by the head that was fitted without its fold.",
    (
        _PROMPT,
        Column("response_id", pa.string(), "the response"),
        Column("fold", pa.int32(), "the fold that the head was fitted without"),
        Column(
            "raw", pa.float64(), "the head's score over its temperature, so that differences are log-odds"
        ),
    ),
)

HELDOUT = Table(
    "heldout",
    "heldout",
    "heldout.parquet",
    ("arm", "split"),
    "Accuracy of every head and control on pairs that it was not fitted on, and against the baseline.",
    (
        _ARM,
        _KIND,
        _HELD_OUT,
        Column(
            "value",
            pa.float64(),
            "share of pairs whose preferred answer scores higher; equal scores count half",
        ),
        Column("low", pa.float64(), "lower end of the 95% bootstrap interval over prompt groups"),
        Column("high", pa.float64(), "upper end"),
        Column("over", pa.float64(), "value minus that of logistic_regression, on the same pairs"),
        Column("over_low", pa.float64(), "lower end of the paired 95% bootstrap interval over prompt groups"),
        Column("over_high", pa.float64(), "upper end"),
        Column("ece", pa.float64(), "expected calibration error of the pair probabilities; NaN without any"),
        Column("n_pairs", pa.int64(), "pairs with a preferred answer"),
        Column("n_ties", pa.int64(), "pairs without a preferred answer, which are left out"),
        Column("n_equal", pa.int64(), "pairs to whose answers the arm gives equal scores"),
        Column("n_groups", pa.int64(), "groups of prompts"),
    ),
)

HELDOUT_PAIRS = Table(
    "heldout_pairs",
    "heldout",
    "heldout_pairs.parquet",
    ("arm", "split", "preferred", "other"),
    "The score difference that every arm gives to every held-out pair.",
    (
        _ARM,
        _KIND,
        _HELD_OUT,
        _PROMPT,
        Column("group", pa.string(), "the group of the prompt"),
        Column("preferred", pa.string(), "response id of the preferred answer"),
        Column("other", pa.string(), "response id of the other one"),
        Column("margin", pa.float64(), "the arm's score of the preferred answer minus that of the other"),
        Column(
            "probability",
            pa.float64(),
            "probability that it gives to the preference, sigma(margin); NaN for the control length",
        ),
    ),
)

HELDOUT_CALIBRATION = Table(
    "heldout_calibration",
    "heldout",
    "heldout_calibration.parquet",
    ("arm", "split", "bin"),
    "Predicted probability that the first answer of a held-out pair is preferred, against how often it is.",
    (
        _ARM,
        _HELD_OUT,
        Column("bin", pa.int32(), "bin of the predicted probability"),
        Column("predicted", pa.float64(), "mean predicted probability in the bin"),
        Column("observed", pa.float64(), "share of the pairs in which the first answer is preferred"),
        Column("count", pa.int64(), "pairs in the bin"),
    ),
)

HELDOUT_AGREEMENT = Table(
    "heldout_agreement",
    "heldout",
    "heldout_agreement.parquet",
    ("arm", "other", "split"),
    "Agreement of two arms on the held-out pairs, whether they are right or wrong.",
    (
        _ARM,
        Column("other", pa.string(), "the arm it is compared with"),
        _HELD_OUT,
        Column("share", pa.float64(), "share of pairs on which both prefer the same answer"),
        Column("kappa", pa.float64(), "Cohen's kappa: 0 for chance, 1 for always; NaN where not defined"),
        Column("n_pairs", pa.int64(), "pairs on which neither arm gives equal scores"),
    ),
)

HELDOUT_TABLES = (CROSSVAL_SCORES, HELDOUT, HELDOUT_PAIRS, HELDOUT_CALIBRATION, HELDOUT_AGREEMENT)
