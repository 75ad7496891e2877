"""The folds of cross-validation, as rows of responses."""

from __future__ import annotations

import numpy as np

from rmlab.data.folds import folds_of_groups
from rmlab.settings import Crossval
from rmlab.stages.responses import Responses


def groups_of(responses: Responses) -> np.ndarray:
    """[m] the name of the group of each response's prompt: the prompt's own where it has none."""
    return (responses.split_groups if len(responses.split_groups) else responses.prompt_ids)[:]


def folds_of(responses: Responses, how: Crossval) -> np.ndarray:
    """[m] int32 fold of each response, 0 to folds - 1."""
    groups = groups_of(responses)
    fold = folds_of_groups(groups.tolist(), how.folds or 0, how.seed)
    return np.array([fold[group] for group in groups], dtype=np.int32)
