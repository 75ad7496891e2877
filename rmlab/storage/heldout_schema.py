"""The tables of the stages crossval and heldout: scores and accuracy on pairs that no head was fitted on."""

from __future__ import annotations

import pyarrow as pa

from rmlab.storage.schemas import ARM, KIND, PROMPT_ID
from rmlab.storage.table_schema import Column, Table, ends, number, text, whole

_HELD_OUT = text(
    "split",
    "test: test prompts, by the fitted head; cv: all prompts, each by the head fitted without its fold",
)

CROSSVAL_SCORES = Table(
    "crossval_scores",
    "crossval",
    "crossval_scores.parquet",
    ("response_id",),
    "Scores of all responses in cross-validation, each by the head that was fitted without its fold.",
    (
        PROMPT_ID,
        text("response_id", "the response"),
        Column("fold", pa.int32(), "the fold that the head was fitted without"),
        number("raw", "the head's score over its temperature, so that differences are log-odds"),
    ),
)

HELDOUT = Table(
    "heldout",
    "heldout",
    "heldout.parquet",
    ("arm", "split"),
    "Accuracy of every head and control on pairs that it was not fitted on, and against the baseline.",
    (
        ARM,
        KIND,
        _HELD_OUT,
        number("value", "share of pairs whose preferred answer scores higher; equal scores count half"),
        *ends("the 95% bootstrap interval over prompt groups"),
        number("over", "value minus that of logistic_regression, on the same pairs"),
        *ends("the paired 95% bootstrap interval over prompt groups", name="over_"),
        number("ece", "expected calibration error of the pair probabilities; NaN without any"),
        whole("n_pairs", "pairs with a preferred answer"),
        whole("n_ties", "pairs without a preferred answer, which are left out"),
        whole("n_equal", "pairs to whose answers the arm gives equal scores"),
        whole("n_groups", "groups of prompts"),
    ),
)

HELDOUT_PAIRS = Table(
    "heldout_pairs",
    "heldout",
    "heldout_pairs.parquet",
    ("arm", "split", "preferred", "other"),
    "The score difference that every arm gives to every held-out pair.",
    (
        ARM,
        KIND,
        _HELD_OUT,
        PROMPT_ID,
        text("group", "the group of the prompt"),
        text("preferred", "response id of the preferred answer"),
        text("other", "response id of the other one"),
        number("margin", "the arm's score of the preferred answer minus that of the other"),
        number(
            "probability",
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
        ARM,
        _HELD_OUT,
        Column("bin", pa.int32(), "bin of the predicted probability"),
        number("predicted", "mean predicted probability in the bin"),
        number("observed", "share of the pairs in which the first answer is preferred"),
        whole("count", "pairs in the bin"),
    ),
)

HELDOUT_AGREEMENT = Table(
    "heldout_agreement",
    "heldout",
    "heldout_agreement.parquet",
    ("arm", "other", "split"),
    "Agreement of two arms on the held-out pairs, whether they are right or wrong.",
    (
        ARM,
        text("other", "the arm it is compared with"),
        _HELD_OUT,
        number("share", "share of pairs on which both prefer the same answer"),
        number("kappa", "Cohen's kappa: 0 for chance, 1 for always; NaN where not defined"),
        whole("n_pairs", "pairs on which neither arm gives equal scores"),
    ),
)

HELDOUT_TABLES = (CROSSVAL_SCORES, HELDOUT, HELDOUT_PAIRS, HELDOUT_CALIBRATION, HELDOUT_AGREEMENT)
