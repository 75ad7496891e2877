import pytest

from rmlab.errors import InputError
from rmlab.goldens.base import Failed
from rmlab.goldens.file import FileGolden
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange

ROWS = [Exchange("p", f"r{i}", [{"role": "user", "content": "?"}], "text") for i in range(3)]


def test_nan_in_the_file_is_a_failed_row(tmp_path):
    (tmp_path / "s.csv").write_text("response_id,score\nr0,1\nr1,nan\nr2,-inf\n")
    found = FileGolden(str(tmp_path / "s.csv")).open(Compute())(ROWS)
    assert found == [1, Failed("the file gives nan"), Failed("the file gives -inf")]


@pytest.mark.parametrize("last", ["", "r2,\n"])
def test_no_score_is_still_an_error(tmp_path, last):
    (tmp_path / "s.csv").write_text("response_id,score\nr0,1\nr1,2\n" + last)
    with pytest.raises(InputError, match=r"no score for response r2|row 3: .*score"):
        FileGolden(str(tmp_path / "s.csv")).open(Compute())(ROWS)


def test_a_reward_is_named_of_scored_rows_alone(tmp_path):
    (tmp_path / "p.csv").write_text("prompt,chosen,rejected\nq,a,b\n")
    with pytest.raises(InputError, match=r"p.csv has no scored rows; golden.file.reward picks among those"):
        FileGolden(str(tmp_path / "p.csv"), reward="helpful").open(Compute())


def test_a_reward_that_the_file_has_not_is_told_with_those_that_it_has(tmp_path):
    (tmp_path / "s.csv").write_text("response_id,reward,score\nr0,kind,1\nr0,brief,2\nr1,kind,2\n")
    with pytest.raises(InputError, match=r"no row whose 'reward' is helpful; there is: brief, kind$"):
        FileGolden(str(tmp_path / "s.csv"), reward="helpful").open(Compute())
