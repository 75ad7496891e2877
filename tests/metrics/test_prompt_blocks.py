from __future__ import annotations

import numpy as np
import pytest

from rmlab.metrics.order import prompt_blocks


@pytest.mark.parametrize("cells", [1, 10, 2**22])
def test_blocks_hold_every_row_of_every_prompt_once(cells, monkeypatch):
    monkeypatch.setattr("rmlab.metrics.order.CELLS", cells)
    group = np.random.default_rng(0).permutation(np.repeat([8, -1, 4, 6, 2], [3, 5, 3, 1, 5]))
    names, seen = np.unique(group), []
    for prompts, rows in prompt_blocks(group):
        assert rows.shape[0] == len(prompts)
        assert len(prompts) == 1 or rows.size <= cells
        assert (group[rows] == names[prompts][:, None]).all()
        seen += rows.ravel().tolist()
    assert sorted(seen) == list(range(17))
