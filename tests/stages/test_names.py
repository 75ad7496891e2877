import numpy as np
import pyarrow as pa

from rmlab.responses.table import Names, PromptOfRows


def part(prompts, groups):
    return pa.table({"prompt_id": prompts, "group": groups})


def test_prompts_are_numbered_by_their_sorted_ids_wherever_they_stand():
    parts = [part(["q", "p", "q"], ["g", "h", "g"]), part(["a", "q"], ["a", "g"]), part(["c"], ["h"])]
    prompts = PromptOfRows.of(parts, 6)
    assert prompts.names.to_pylist() == ["a", "c", "p", "q"]
    assert prompts.groups.to_pylist() == ["a", "h", "h", "g"]
    assert prompts.number.tolist() == [3, 2, 3, 0, 3, 1] and prompts.number.dtype == np.int32
    kept = prompts.take(np.array([0, 5]))
    assert kept.names.to_pylist() == ["c", "q"] and kept.number.tolist() == [1, 0]
    assert kept.group_names is not None and kept.group_names[np.array([0, 1])].tolist() == ["g", "h"]


def test_groups_are_none_where_each_prompt_is_its_own():
    assert PromptOfRows.of([part(["b", "a"], ["b", "a"])], 2).group_names is None


def test_names_by_row_in_the_shape_of_the_rows():
    names = Names(pa.array(["x", "y", "z"]), np.array([2, 0, 0, 1]))
    assert names[np.array([[0, 1], [3, 2]])].tolist() == [["z", "x"], ["y", "x"]]
    assert names[1:3].tolist() == ["x", "x"] and list(names) == ["z", "x", "x", "y"] and len(names) == 4
    assert names.text(np.array([3, 0])).to_pylist() == ["y", "z"]
