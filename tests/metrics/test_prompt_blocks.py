from __future__ import annotations

import numpy as np
import pytest

from rmlab.metrics.base import pair_signs, prompt_blocks


@pytest.mark.parametrize("cells", [1, 40, 2**22])
@pytest.mark.parametrize("pairs", [False, True])
def test_blocks_hold_every_row_of_every_prompt_once(cells, pairs, monkeypatch):
    monkeypatch.setattr("rmlab.metrics.base.CELLS", cells)
    group = np.random.default_rng(0).permutation(np.repeat([8, -1, 4, 6, 2], [3, 5, 3, 1, 5]))
    names, seen = np.unique(group), []
    for prompts, rows in prompt_blocks(group, pairs=pairs):
        assert rows.shape[0] == len(prompts)
        assert len(prompts) == 1 or rows.size * (rows.shape[1] if pairs else 1) <= cells
        assert (group[rows] == names[prompts][:, None]).all()
        seen += rows.ravel().tolist()
    assert sorted(seen) == list(range(17))


def test_pair_signs_by_hand():
    expected = [[[0, -1, 0], [1, 0, 1], [0, -1, 0]]]
    np.testing.assert_array_equal(pair_signs(np.array([[1.0, 3.0, 1.0]])), expected)
