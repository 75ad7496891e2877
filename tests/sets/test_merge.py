"""Sets join by content: equal ids must mean equal things, and a conflict is one line and no folder."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from set_helpers import TWO, A, change_record, change_table, put

from rmlab.sets.validate import validate
from rmlab.storage.set_record import open_set

B = "release.policies=['b: generation_seed=1']"
OTHER_A = "release.policies=['a: generation_seed=1']"
WIDE, NARROW = (
    "release.embedders=['wide: embedder.dimension=64']",
    "release.embedders=['narrow: embedder.dimension=40']",
)
BOTH = TWO[1]


def same_bytes(one, other, name, renamed=None):
    return (one / name).read_bytes() == (other / (renamed or name)).read_bytes()


def test_policies_of_two_sets_are_those_of_one_release(cli, make, small_set, tmp_path):
    first, second = make("first", A, BOTH), make("second", B, BOTH)
    result = cli("merge", tmp_path / "study", first, second, "--json")
    assert result.code == 0, result.err
    study = tmp_path / "study"
    assert validate(study).failures == []
    for file in small_set.glob("*.parquet"):
        assert same_bytes(small_set, study, file.name), file.name
    mine, released = open_set(study).record, open_set(small_set).record
    assert mine.policies == released.policies and mine.embedders == released.embedders
    assert mine.rewards == released.rewards and mine.files == released.files


def test_the_same_responses_are_one_policy_with_the_embedders_of_both(cli, make, small_set, tmp_path):
    first, second = make("first", TWO[0], WIDE), make("second", TWO[0], NARROW)
    assert cli("merge", tmp_path / "study", first, second).code == 0
    for file in small_set.glob("*.parquet"):
        assert same_bytes(small_set, tmp_path / "study", file.name), file.name
    merged, released = (open_set(place).record.policies for place in (tmp_path / "study", small_set))
    assert [p.lineage for p in merged] == [p.lineage for p in released]  # of both embedders


def test_files_of_another_writer_hold_the_same(cli, small_set, copied, tmp_path):
    """Other bytes, types, order of rows and of columns."""
    for file in copied.glob("*.parquet"):
        change_table(copied, file.name, rewritten)
    assert validate(copied).failures == []
    for file in copied.glob("*.parquet"):
        assert not same_bytes(small_set, copied, file.name)
    result = cli("merge", tmp_path / "study", small_set, copied)
    assert result.code == 0, result.err
    assert open_set(tmp_path / "study").names("policies") == ["a", "b"]
    for file in small_set.glob("*.parquet"):
        assert same_bytes(small_set, tmp_path / "study", file.name), file.name


def rewritten(table):
    columns = {name: table[name] for name in reversed(table.column_names)}
    for name, column in columns.items():
        if pa.types.is_string(column.type):
            columns[name] = column.cast(pa.large_string())
    if "dimension" in columns:  # these are in order
        return pa.table(columns)
    return pa.table(columns).take(list(range(table.num_rows))[::-1])


def test_other_policies_of_one_name_get_their_set_s(cli, make, tmp_path):
    first, second = make("first", A, WIDE), make("my-second", OTHER_A, WIDE)
    assert cli("merge", tmp_path / "study", first, second).code == 0
    study = tmp_path / "study"
    assert open_set(study).names("policies") == ["a", "a_my_second"]
    assert same_bytes(second, study, "embeddings-a-wide.parquet", "embeddings-a_my_second-wide.parquet")
    assert validate(study).failures == []
    assert set(open_set(study).record.embedders[0].error) == {"a", "a_my_second"}


def test_sets_of_different_prompts(cli, make, tmp_path):
    openings = make("first", A, WIDE)
    questions = make("second", OTHER_A, WIDE, "prompts=questions", "prompts.template=plain")
    result = cli("merge", tmp_path / "study", openings, questions, "--json")
    assert result.code == 0, result.err
    assert result.json["record"]["prompts"] == {"train": 24, "test": 12}


def test_a_set_twice_is_itself(cli, small_set, tmp_path):
    assert cli("merge", tmp_path / "study", small_set, small_set).code == 0
    for file in small_set.glob("*.parquet"):
        assert same_bytes(small_set, tmp_path / "study", file.name)


def other_messages(folder):
    change_table(
        folder, "prompts.parquet", put("messages", 0, [{"role": "user", "content": "Something else"}])
    )


def other_group(folder):
    change_table(folder, "prompts.parquet", put("group", 0, "some group"))


def other_scores(folder):
    change_table(folder, "scores-a.parquet", put("score", 2, 9.5))


def other_vectors(folder):
    change_table(folder, "embeddings-a-wide.parquet", put("embedding", 2, [3] * 64))


def other_ids(folder):
    """The same prompts under other ids, their splits turned round."""

    def ids(table):
        new = pa.array([f"new-{i}" for i in table["prompt_id"].to_pylist()])
        table = table.set_column(table.schema.get_field_index("prompt_id"), "prompt_id", new)
        if "group" in table.column_names:
            table = table.set_column(table.schema.get_field_index("group"), "group", new)
        turned = pa.array(["test" if s == "train" else "train" for s in table["split"].to_pylist()])
        return table.set_column(table.schema.get_field_index("split"), "split", turned)

    change_table(folder, "prompts.parquet", ids)
    change_record(folder, lambda r: r.update(prompts={"train": 6, "test": 12}))
    for policy in ("a", "b"):
        change_table(folder, f"responses-{policy}.parquet", ids)


def other_responses(folder):
    change_table(folder, "responses-a.parquet", put("text", 2, "another text under the same id"))


def other_reward(folder):
    change_record(folder, lambda r: r["rewards"][0]["made_by"]["config"].update(golden="another"))


def other_embedder(folder):
    change_record(folder, lambda r: r["embedders"][0]["made_by"]["config"].update(template="chat"))


def invalid(folder):
    change_table(folder, "scores-a.parquet", put("score", 2, float("nan")))


def other_licence(folder):
    change_record(folder, lambda r: r.update(license="MIT"))
    card = folder / "README.md"
    card.write_text(card.read_text().replace("license: cc-by-4.0", "license: mit"))


CONFLICTS = {
    "messages": (other_messages, "has another messages in"),
    "group": (other_group, "has another group in"),
    "scores": (other_scores, "has other scores of"),
    "vectors": (other_vectors, "has other vectors by wide for policy a"),
    "splits": (other_ids, "the sets do not go together: "),
    "responses": (other_responses, "is another policy's, too"),
    "reward": (other_reward, "reward sentiment of"),
    "embedder": (other_embedder, "embedder wide of"),
    "invalid": (invalid, "is not a valid embedding set: scores-a.parquet, row 3: score is nan"),
    "licence": (other_licence, "different licences, CC-BY-4.0, MIT"),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_conflicts_are_one_line_and_nothing_is_written(cli, small_set, copied, tmp_path, name):
    how, message = CONFLICTS[name]
    how(copied)
    result = cli("merge", tmp_path / "study", small_set, copied)
    assert result.code == 3 and message in result.line
    assert [f.name for f in tmp_path.iterdir()] == ["small"]


def test_a_missing_reward_or_embedder_is_named(cli, make, tmp_path):
    first, second = make("first", A, BOTH), make("second", B, WIDE)
    result = cli("merge", tmp_path / "study", first, second)
    assert result.code == 3 and "policy b of" in result.line and "has no embedder narrow" in result.line
    third = make("third", B, BOTH, "golden=[sentiment]")
    result = cli("merge", tmp_path / "study", first, third)
    assert result.code == 3 and "has no reward length" in result.line
    assert not (tmp_path / "study").exists()


def test_licences_that_differ_need_one_for_the_whole(cli, small_set, copied, tmp_path):
    other_licence(copied)
    (copied / "LICENSE").write_text("Another text.")
    result = cli("merge", tmp_path / "study", small_set, copied, "--license", "CC-BY-SA-4.0")
    assert result.code == 0, result.err
    text = (tmp_path / "study" / "LICENSE").read_text()
    assert "Another text." in text and "CC-BY-4.0" in text
    assert open_set(tmp_path / "study").record.license == "CC-BY-SA-4.0"


def test_names_that_a_set_cannot_have(cli, small_set, tmp_path):
    result = cli("merge", tmp_path / ("x" * 101), small_set, small_set)
    assert result.code == 2 and "the name of a set must have 1 to 100 characters" in result.line
    result = cli("merge", tmp_path / "study", small_set, small_set, "--license", "")
    assert result.code == 2 and "the licence of a set must have 1 to 100 characters" in result.line
    assert list(tmp_path.iterdir()) == []


def test_one_set_or_a_place_that_is_taken(cli, small_set, copied, tmp_path):
    assert cli("merge", tmp_path / "study", small_set).code == 2
    taken = cli("merge", copied, small_set, small_set)
    assert taken.code == 3 and "--force" in taken.line
    before = pq.read_table(copied / "prompts.parquet")
    shutil.rmtree(copied)
    shutil.copytree(small_set, copied)
    forced = cli("merge", copied, small_set, copied, "--force")
    assert forced.code == 0 and pq.read_table(copied / "prompts.parquet").equals(before)
