"""Overrides of an experiment that runs every stage in seconds."""

SMALL = (
    "experiment=smoke",
    "prompts.n_train=12",
    "prompts.n_test=6",
    "sampling.n_train=5",
    "sampling.n_test=6",
    "sampling.max_new_tokens=12",
    "comparisons.n=60",
    "comparisons.n_validation=15",
    "evaluation.resamples=50",
    "demonstrations.n=4",
    "arms=['head=linear loss=bradley_terry','head=trees loss=classification']",
)
