"""Overrides of experiments that run in seconds, with stand-ins for the models."""

TINY = (
    "experiment=smoke",
    "prompts.n_train=12",
    "prompts.n_test=6",
    "sampling.n_train=5",
    "sampling.n_test=6",
    "sampling.max_new_tokens=12",
    "comparisons.n=60",
    "comparisons.n_validation=15",
    "evaluation.resamples=50",
)
ARMS = "arms=['head=linear loss=bradley_terry','head=trees loss=classification']"
SMALL = (*TINY, "demonstrations.n=4", ARMS)
