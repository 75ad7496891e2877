"""The tables that stages write: their columns, types, keys and meaning.

TABLES.md is made from the schemas (`make tables`), so the page cannot go stale.
"""

from __future__ import annotations

import pyarrow as pa

from rmlab.storage.table_schema import Column, Table, ends, flag, number, text, whole

MESSAGES = pa.list_(pa.struct([pa.field("role", pa.string()), pa.field("content", pa.string())]))
PROMPT_ID = text("prompt_id", "the prompt")
_RESPONSE = text("response_id", "the response; hash of policy, prompt and sample index")
_SPLIT = text("split", "train or test; eval tables also have validation, cut from train")
_GROUP = text("group", "prompts of one group are always in the same split; mostly the prompt_id")
ARM = text("arm", "name of the head or control")
KIND = text("kind", "head or control")

PROMPTS = Table(
    "prompts",
    "prompts",
    "part-*.parquet",
    ("prompt_id",),
    "The prompts of an experiment, as imported.",
    (
        PROMPT_ID,
        _SPLIT,
        _GROUP,
        Column("messages", MESSAGES, "the conversation so far; often a single user message"),
        whole("source_row", "row in the file it came from, from 1"),
    ),
)

RESPONSES = Table(
    "responses",
    "sample",
    "part-*.parquet",
    ("response_id",),
    "The policy's responses, n for each prompt.",
    (
        PROMPT_ID,
        _RESPONSE,
        _SPLIT,
        _GROUP,
        Column("sample_index", pa.int32(), "0 to n-1 within the prompt"),
        text("text", "the response alone, without the prompt"),
        Column("n_tokens", pa.int32(), "tokens generated, the end token included; -1 for imported texts"),
        text("finish_reason", "stop (end token or stop string), length (token limit), or imported"),
        number("logprob", "sum of log-probabilities under the untempered policy; NaN: imported"),
    ),
)

SCORES = Table(
    "scores",
    "annotate",
    "part-*.parquet",
    ("response_id",),
    "The score of one golden reward for every response.",
    (
        PROMPT_ID,
        _RESPONSE,
        text("reward", "name of the golden reward"),
        number("score", "the golden score; higher is better; NaN: it failed on this response"),
        text("failure", "why it failed; null if it did not", nullable=True),
    ),
)

COMPARISONS = Table(
    "comparisons",
    "fit_rm",
    "comparisons.parquet",
    ("comparison",),
    "The labelled comparisons that a head was fitted on.",
    (
        whole("comparison", "number of the comparison"),
        text("kind", "pair, list (a ranking), choice or unpaired"),
        Column("items", pa.list_(pa.string()), "response ids, best or chosen first"),
        Column("prompt_ids", pa.list_(pa.string()), "the prompt of each item"),
        _SPLIT,
        text("reward", "the golden reward that the simulated annotators judge by"),
        number("weight", "weight in the loss"),
        number("label_prob", "probability with which the annotator gives this answer"),
        number("margin", "absolute difference of the golden scores"),
        flag("tie", "true if the golden scores are equal"),
        flag("correct", "true if the answer agrees with the golden order"),
        number("share", "share of annotators with this answer; unpaired: share that calls it good"),
        whole("annotator", "number of the annotator who answered"),
    ),
)

DIAGNOSTICS = Table(
    "diagnostics",
    "fit_rm",
    "diagnostics.parquet",
    ("comparison", "diagnostic"),
    "Quantities that the losses robust_btl and adaptive estimate for each train comparison.",
    (
        whole("comparison", "number of the comparison, as in comparisons"),
        text("diagnostic", "delta, outlier (1 flagged, 0 not), margin, or scale"),
        number("value", "its value at the fitted head"),
    ),
)

LABEL_VARIANCE = Table(
    "label_variance",
    "fit_rm",
    "label_variance.parquet",
    ("low",),
    "Histogram of p(1-p) over the train comparisons, with p = label_prob: the information of an answer.",
    (
        number("low", "lower edge of the bin"),
        number("high", "upper edge"),
        whole("count", "comparisons in the bin"),
    ),
)

TRAINING_LOG = Table(
    "training_log",
    "sft, fit_rm",
    "training_log.parquet",
    ("step", "split", "objective"),
    "Loss during training.",
    (
        whole("step", "optimiser step, or iteration"),
        number("epoch", "epoch"),
        _SPLIT,
        number("loss", "mean loss"),
        text("objective", "the objective whose loss it is, for a head of several; else null", nullable=True),
    ),
)

HEAD_SCORES = Table(
    "head_scores",
    "eval_rm",
    "head_scores.parquet",
    ("arm", "response_id"),
    "The score of each validation and test response by each head and control.",
    (
        ARM,
        PROMPT_ID,
        _RESPONSE,
        _SPLIT,
        number("score", "the head's reward, mean 0 and deviation 1 on train responses"),
        number("golden", "the golden score"),
    ),
)

METRICS = Table(
    "metrics",
    "eval_rm",
    "metrics.parquet",
    ("arm", "split", "metric"),
    "Every metric of every head and control, with its interval.",
    (
        ARM,
        KIND,
        _SPLIT,
        text(
            "metric",
            "all arms: best_of_n, selected_quantile, spearman, kendall, accuracy, length_spearman, "
            "partial_spearman (of score and golden score, given the number of words), "
            "length_controlled_accuracy (accuracy in which the pairs whose better response is longer have "
            "the same total weight as the other pairs), style_controlled_accuracy (the same for number of "
            "words, punctuation, markdown and variety of words; both are 1/2 for a head that orders by one "
            "of these alone). Heads: ece, nll and brier of pair probabilities, and ece_raw before the "
            "temperature, each against the annotators' answers (_annotators) and the golden order (_golden). "
            "Heads on validation prompts: label_nll and label_accuracy against the annotators' answers. "
            "Heads on test prompts: conformal_coverage_90, conformal_decided_90 and conformal_accuracy_90 "
            "of a head that abstains, so that its set of answers holds the annotators' answer in 90 % of "
            "pairs: the share of pairs where it does, the share that the head decides, and the accuracy on "
            "those; the same with 80",
        ),
        Column("n", pa.int32(), "N of best_of_n and selected_quantile; 0 for other metrics"),
        number("value", "mean over prompts"),
        *ends("the 95% bootstrap interval over prompts"),
        whole("n_prompts", "prompts on which the metric is defined"),
        whole(
            "n_constant",
            "prompts on which the arm gives all responses one score; spearman and kendall are 0 there",
        ),
    ),
)

CURVES = Table(
    "curves",
    "eval_rm",
    "curves.parquet",
    ("arm", "split", "n"),
    "Exact best-of-N against N: golden reward and head's own score of the chosen response.",
    (
        ARM,
        KIND,
        _SPLIT,
        Column("n", pa.int32(), "number of responses to choose from (N)"),
        number(
            "kl",
            "log n - (n - 1) / n, an upper bound on the KL divergence of best-of-N from the policy, which "
            "ties lower; `rmlab frontier` computes the divergence itself",
        ),
        number("value", "expected golden score of the chosen response"),
        *ends("the 95% bootstrap interval over prompts"),
        number("proxy", "mean score of the chosen response by the head itself; controls: NaN"),
        *ends("its 95% bootstrap interval over prompts", name="proxy_"),
        number(
            "golden_mean",
            "mean golden score of the split; (value - golden_mean) / golden_deviation is in proxy's unit",
        ),
        number("golden_deviation", "standard deviation of the golden scores of the split"),
        whole("n_prompts", "prompts with at least n responses"),
    ),
)

PAIRED = Table(
    "paired",
    "eval_rm",
    "paired.parquet",
    ("arm", "other", "split", "metric"),
    "Differences of a metric between arms, on the same prompts.",
    (
        ARM,
        text("other", "the arm that is subtracted"),
        _SPLIT,
        text("metric", "best_of_n, spearman, accuracy or selected_quantile"),
        Column("n", pa.int32(), "N of best_of_n and selected_quantile, the largest; 0 for other metrics"),
        number("value", "mean difference"),
        *ends("the paired 95% bootstrap interval over prompts"),
        whole("n_prompts", "prompts on which both are defined"),
    ),
)

CALIBRATION = Table(
    "calibration",
    "eval_rm",
    "calibration.parquet",
    ("arm", "split", "bin"),
    "Predicted probability that one response is preferred, against how often the annotators prefer it.",
    (
        ARM,
        _SPLIT,
        Column("bin", pa.int32(), "bin of the predicted probability"),
        number("predicted", "mean predicted probability in the bin"),
        number("observed", "share of the pairs in which the annotators prefer it"),
        whole("count", "pairs in the bin"),
    ),
)


def embeddings_table(dimension: int = 0, storage: str = "float32") -> Table:
    """The table of embeddings, whose vector column has `dimension` values."""
    value = pa.float16() if storage == "float16" else pa.float32()
    vector = pa.list_(pa.field("item", value, nullable=False), dimension or 1)
    return Table(
        "embeddings",
        "embed",
        "part-*.parquet",
        ("response_id",),
        "One vector for every response, from one model, layer and pooling.",
        (
            PROMPT_ID,
            _RESPONSE,
            Column("n_tokens", pa.int32(), "response tokens that were embedded; -1 for imported vectors"),
            flag("truncated", "true if the text was cut to the model's context"),
            Column("embedding", vector, "the vector, one fixed size for the whole table"),
        ),
    )


TABLES = (
    PROMPTS,
    RESPONSES,
    SCORES,
    embeddings_table(),
    COMPARISONS,
    DIAGNOSTICS,
    LABEL_VARIANCE,
    TRAINING_LOG,
    HEAD_SCORES,
    METRICS,
    CURVES,
    PAIRED,
    CALIBRATION,
)
