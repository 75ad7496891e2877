"""The tables that stages write: their columns, types, keys and meaning.

TABLES.md is made from this module (`make tables`), so the page cannot go stale.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

MESSAGES = pa.list_(pa.struct([pa.field("role", pa.string()), pa.field("content", pa.string())]))


@dataclass(frozen=True)
class Column:
    name: str
    type: pa.DataType
    meaning: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """The description of a table. files: pattern of the files that hold it in the artifact of its stage."""

    name: str
    stage: str
    files: str
    key: tuple[str, ...]
    meaning: str
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, c.type, nullable=c.nullable) for c in self.columns])


_PROMPT = Column("prompt_id", pa.string(), "the prompt")
_RESPONSE = Column("response_id", pa.string(), "the response; hash of policy, prompt and sample index")
_SPLIT = Column("split", pa.string(), "train or test; eval tables also have validation, cut from train")
_GROUP = Column(
    "group", pa.string(), "prompts of one group are always in the same split; mostly the prompt_id"
)
_ARM = Column("arm", pa.string(), "name of the head or control")

PROMPTS = Table(
    "prompts",
    "prompts",
    "part-*.parquet",
    ("prompt_id",),
    "The prompts of an experiment, as imported.",
    (
        _PROMPT,
        _SPLIT,
        _GROUP,
        Column("messages", MESSAGES, "the conversation so far; often a single user message"),
        Column("source_row", pa.int64(), "row in the file it came from, from 1"),
    ),
)

RESPONSES = Table(
    "responses",
    "sample",
    "part-*.parquet",
    ("response_id",),
    "The policy's responses, n for each prompt.",
    (
        _PROMPT,
        _RESPONSE,
        _SPLIT,
        _GROUP,
        Column("sample_index", pa.int32(), "0 to n-1 within the prompt"),
        Column("text", pa.string(), "the response alone, without the prompt"),
        Column("n_tokens", pa.int32(), "tokens generated, the end token included; -1 for imported texts"),
        Column(
            "finish_reason", pa.string(), "stop (end token or stop string), length (token limit), or imported"
        ),
        Column(
            "logprob", pa.float64(), "sum of log-probabilities under the untempered policy; NaN: imported"
        ),
    ),
)

SCORES = Table(
    "scores",
    "annotate",
    "part-*.parquet",
    ("response_id",),
    "The score of one golden reward for every response.",
    (
        _PROMPT,
        _RESPONSE,
        Column("reward", pa.string(), "name of the golden reward"),
        Column("score", pa.float64(), "the golden score; higher is better; NaN: it failed on this response"),
        Column("failure", pa.string(), "why it failed; null if it did not", nullable=True),
    ),
)

COMPARISONS = Table(
    "comparisons",
    "fit_rm",
    "comparisons.parquet",
    ("comparison",),
    "The labelled comparisons that a head was fitted on.",
    (
        Column("comparison", pa.int64(), "number of the comparison"),
        Column("kind", pa.string(), "pair, list (a ranking), choice or unpaired"),
        Column("items", pa.list_(pa.string()), "response ids, best or chosen first"),
        Column("prompt_ids", pa.list_(pa.string()), "the prompt of each item"),
        _SPLIT,
        Column("reward", pa.string(), "the golden reward that the simulated annotators judge by"),
        Column("weight", pa.float64(), "weight in the loss"),
        Column("label_prob", pa.float64(), "probability with which the annotator gives this answer"),
        Column("margin", pa.float64(), "absolute difference of the golden scores"),
        Column("tie", pa.bool_(), "true if the golden scores are equal"),
        Column("correct", pa.bool_(), "true if the answer agrees with the golden order"),
        Column(
            "share", pa.float64(), "share of annotators with this answer; unpaired: share that calls it good"
        ),
        Column("annotator", pa.int64(), "number of the annotator who answered"),
    ),
)

DIAGNOSTICS = Table(
    "diagnostics",
    "fit_rm",
    "diagnostics.parquet",
    ("comparison", "diagnostic"),
    "Quantities that the losses robust_btl and adaptive estimate for each train comparison.",
    (
        Column("comparison", pa.int64(), "number of the comparison, as in comparisons"),
        Column("diagnostic", pa.string(), "delta, outlier (1 flagged, 0 not), margin, or scale"),
        Column("value", pa.float64(), "its value at the fitted head"),
    ),
)

LABEL_VARIANCE = Table(
    "label_variance",
    "fit_rm",
    "label_variance.parquet",
    ("low",),
    "Histogram of p(1-p) over the train comparisons, with p = label_prob: the information of an answer.",
    (
        Column("low", pa.float64(), "lower edge of the bin"),
        Column("high", pa.float64(), "upper edge"),
        Column("count", pa.int64(), "comparisons in the bin"),
    ),
)

TRAINING_LOG = Table(
    "training_log",
    "sft, fit_rm",
    "training_log.parquet",
    ("step", "split", "objective"),
    "Loss during training.",
    (
        Column("step", pa.int64(), "optimiser step, or iteration"),
        Column("epoch", pa.float64(), "epoch"),
        _SPLIT,
        Column("loss", pa.float64(), "mean loss"),
        Column(
            "objective",
            pa.string(),
            "the objective whose loss it is, for a head of several; else null",
            nullable=True,
        ),
    ),
)

HEAD_SCORES = Table(
    "head_scores",
    "eval_rm",
    "head_scores.parquet",
    ("arm", "response_id"),
    "The score of each validation and test response by each head and control.",
    (
        _ARM,
        _PROMPT,
        _RESPONSE,
        _SPLIT,
        Column("score", pa.float64(), "the head's reward, mean 0 and deviation 1 on train responses"),
        Column("golden", pa.float64(), "the golden score"),
    ),
)

METRICS = Table(
    "metrics",
    "eval_rm",
    "metrics.parquet",
    ("arm", "split", "metric"),
    "Every metric of every head and control, with its interval.",
    (
        _ARM,
        Column("kind", pa.string(), "head or control"),
        _SPLIT,
        Column(
            "metric",
            pa.string(),
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
        Column("value", pa.float64(), "mean over prompts"),
        Column("low", pa.float64(), "lower end of the 95% bootstrap interval over prompts"),
        Column("high", pa.float64(), "upper end"),
        Column("n_prompts", pa.int64(), "prompts on which the metric is defined"),
        Column(
            "n_constant",
            pa.int64(),
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
        _ARM,
        Column("kind", pa.string(), "head or control"),
        _SPLIT,
        Column("n", pa.int32(), "number of responses to choose from (N)"),
        Column(
            "kl",
            pa.float64(),
            "log n - (n - 1) / n, a bound on the KL divergence of best-of-N from the policy",
        ),
        Column("value", pa.float64(), "expected golden score of the chosen response"),
        Column("low", pa.float64(), "lower end of the 95% bootstrap interval over prompts"),
        Column("high", pa.float64(), "upper end"),
        Column("proxy", pa.float64(), "mean score of the chosen response by the head itself; controls: NaN"),
        Column("proxy_low", pa.float64(), "lower end of its 95% bootstrap interval over prompts"),
        Column("proxy_high", pa.float64(), "upper end"),
        Column(
            "golden_mean",
            pa.float64(),
            "mean golden score of the split; (value - golden_mean) / golden_deviation is in proxy's unit",
        ),
        Column("golden_deviation", pa.float64(), "standard deviation of the golden scores of the split"),
        Column("n_prompts", pa.int64(), "prompts with at least n responses"),
    ),
)

PAIRED = Table(
    "paired",
    "eval_rm",
    "paired.parquet",
    ("arm", "other", "split", "metric"),
    "Differences of a metric between arms, on the same prompts.",
    (
        _ARM,
        Column("other", pa.string(), "the arm that is subtracted"),
        _SPLIT,
        Column("metric", pa.string(), "best_of_n, spearman, accuracy or selected_quantile"),
        Column("n", pa.int32(), "N of best_of_n and selected_quantile, the largest; 0 for other metrics"),
        Column("value", pa.float64(), "mean difference"),
        Column("low", pa.float64(), "lower end of the paired 95% bootstrap interval over prompts"),
        Column("high", pa.float64(), "upper end"),
        Column("n_prompts", pa.int64(), "prompts on which both are defined"),
    ),
)

CALIBRATION = Table(
    "calibration",
    "eval_rm",
    "calibration.parquet",
    ("arm", "split", "bin"),
    "Predicted probability that one response is preferred, against how often the annotators prefer it.",
    (
        _ARM,
        _SPLIT,
        Column("bin", pa.int32(), "bin of the predicted probability"),
        Column("predicted", pa.float64(), "mean predicted probability in the bin"),
        Column("observed", pa.float64(), "share of the pairs in which the annotators prefer it"),
        Column("count", pa.int64(), "pairs in the bin"),
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
            _PROMPT,
            _RESPONSE,
            Column("n_tokens", pa.int32(), "response tokens that were embedded; -1 for imported vectors"),
            Column("truncated", pa.bool_(), "true if the text was cut to the model's context"),
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
