"""Every kind of damage is a line that names the file and the row; nothing raises."""

import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from set_helpers import change_record, change_table, put, sign

from rmlab.sets.validate import MEANING, validate

P, R, S = "prompts.parquet", "responses-a.parquet", "scores-a.parquet"
E, C = "embeddings-a-wide.parquet", "scales-a-wide.parquet"


def table(name, how):
    return lambda folder: change_table(folder, name, how)


def record(how):
    return lambda folder: change_record(folder, how)


def write(name, data):
    return lambda folder: (folder / name).write_bytes(data)


def card(old, new):
    return lambda folder: (folder / "README.md").write_text(
        (folder / "README.md").read_text().replace(old, new, 1)
    )


def remove(name):
    return lambda folder: (folder / name).unlink()


def without_row(row):
    return lambda t: t.filter(pa.array([i != row for i in range(t.num_rows)]))


def same_messages(t):
    """The first test prompt gets the messages of the first train prompt."""
    return put("messages", t["split"].to_pylist().index("test"), t["messages"][0].as_py())(t)


def same_group(t):
    return put("group", t["split"].to_pylist().index("test"), t["group"][0].as_py())(t)


def unlike_its_prompt(t):
    return put("split", 0, "test" if t["split"][0].as_py() == "train" else "train")(t)


def shared_id(folder):
    """The first response of a in b, wherever b has an id."""
    old, new = (pq.read_table(folder / f"responses-{p}.parquet")["response_id"][0].as_py() for p in "ba")

    def renamed_id(t):
        ids = pa.array([new if i == old else i for i in t["response_id"].to_pylist()])
        return t.set_column(t.schema.get_field_index("response_id"), "response_id", ids)

    for name in ("responses-b", "scores-b", "embeddings-b-wide", "embeddings-b-narrow"):
        change_table(folder, f"{name}.parquet", renamed_id)


def cut_short(folder):
    data = (folder / S).read_bytes()
    (folder / S).write_bytes(data[: len(data) // 2])
    sign(folder, S)


def flipped(folder):
    data = bytearray((folder / E).read_bytes())
    data[200] ^= 255
    (folder / E).write_bytes(bytes(data))


def no_utf8(t):
    """Bytes that are no text, in a column that says they are."""
    texts = [b"\xff\xfe" if i == 3 else b"fine" for i in range(t.num_rows)]
    forged = pa.Array.from_buffers(pa.string(), len(texts), pa.array(texts, pa.binary()).buffers())
    return t.set_column(t.schema.get_field_index("text"), "text", forged)


def to_float(t):
    x = pa.array([[float(v) for v in row] for row in t["embedding"].to_pylist()], pa.list_(pa.float32(), 64))
    return t.set_column(1, "embedding", x)


def narrower(t):
    return t.set_column(
        1, "embedding", pa.array([r[:63] for r in t["embedding"].to_pylist()], pa.list_(pa.int8(), 63))
    )


def with_a_null(t):
    """As a file that says that its vectors may hold nulls."""
    x = t["embedding"].to_pylist()
    x[2] = [1, None, *x[2][2:]]
    return t.set_column(1, "embedding", pa.array(x, pa.list_(pa.int8(), 64)))


def renamed(old, new):
    return lambda t: t.rename_columns([new if n == old else n for n in t.column_names])


def cast(column, kind):
    return lambda t: t.set_column(t.schema.get_field_index(column), column, t[column].cast(kind))


DAMAGE = {
    "no record": (remove("set.json"), "record", "it has no set.json"),
    "record is no JSON": (write("set.json", b"{"), "record", "set.json cannot be read"),
    "record is deep": (write("set.json", b"[" * 100_000), "record", "set.json cannot be read"),
    "record is no object": (write("set.json", b"[]"), "record", "set.json: it: "),
    "format": (record(lambda r: r.update(format=2)), "record", "format: "),
    "more keys": (record(lambda r: r.update(more=2)), "record", "more: "),
    "names": (record(lambda r: r["policies"][1].update(name="A")), "record", "2 of the policies are called a"),
    "path as a name": (record(lambda r: r["policies"][0].update(name="../a")), "record", "policies.0.name"),
    "checksum is no checksum": (record(lambda r: r["files"][P].update(sha256="0")), "record", "sha256"),
    "no card": (remove("README.md"), "card", "README.md cannot be used"),
    "card without front matter": (write("README.md", b"# A set\n"), "card", "front matter"),
    "card is no YAML": (write("README.md", b"---\na: [\n---\n"), "card", "not YAML"),
    "card without licence": (card("license:", "licence:"), "card", "front matter has no license"),
    "another licence": (card("cc-by-4.0", "mit"), "card", "its license is mit, but set.json says CC-BY-4.0"),
    "card is no text": (write("README.md", b"\xff"), "card", "README.md cannot be used"),
    "no licence": (remove("LICENSE"), "card", "LICENSE cannot be read"),
    "empty licence": (write("LICENSE", b" \n"), "card", "LICENSE is empty"),
    "a file is missing": (remove(S), "files", f"{S} is missing"),
    "a file too many": (write("embeddings-a-other.parquet", b"x"), "files", "embeddings-a-other.parquet belongs to none"),
    "a file is not listed": (record(lambda r: r["files"].pop(S)), "files", f"set.json lists no {S}"),
    "a strange file is listed": (record(lambda r: r["files"].update({"../x": r["files"][S]})), "files", "set.json lists ../x"),
    "flipped byte": (flipped, "checksums", f"{E} has another checksum"),
    "another size": (write(S, b"x"), "checksums", f"{S} has 1 bytes, but set.json says"),
    "cut short": (cut_short, "tables", f"{S} is not a readable Parquet file"),
    "no column": (table(R, lambda t: t.drop_columns(["text"])), "tables", f"{R} has no column 'text'"),
    "column twice": (table(C, lambda t: t.append_column("scale", t["scale"])), "tables", "no column 'scale' or several"),
    "column too many": (table(S, lambda t: t.append_column("x", t["score"])), "tables", f"{S} has a column 'x'"),
    "another name": (table(P, renamed("messages", "prompt")), "tables", f"{P} has no column 'messages'"),
    "score is text": (table(S, cast("score", pa.string())), "tables", f"{S}: 'score' is string, not double"),
    "vectors are floats": (table(E, to_float), "tables", f"{E}: 'embedding' is fixed_size_list<"),
    "null": (table(S, put("score", 4, None)), "tables", f"{S}, row 5: no score"),
    "null in a vector": (table(E, with_a_null), "tables", f"{E}, row 3: embedding holds a null"),
    "no UTF-8": (table(R, no_utf8), "tables", f"{R} is not a readable Parquet file"),
    "narrower vectors": (table(E, narrower), "tables", "embedding is not fixed_size_list"),
    "huge number of tokens": (table(R, lambda t: put("n_tokens", 2, 2**40)(cast("n_tokens", pa.int64())(t))), "tables", "n_tokens is not int32"),
    "rows": (record(lambda r: r["files"][S].update(rows=7)), "tables", "but set.json says 7"),
    "prompt twice": (table(P, lambda t: put("prompt_id", 1, t["prompt_id"][0].as_py())(t)), "prompts", f"{P}, row 2: prompt_id"),
    "no prompt id": (table(P, put("prompt_id", 1, " ")), "prompts", f"{P}, row 2: prompt_id is empty"),
    "another split": (table(P, put("split", 0, "dev")), "prompts", f"{P}, row 1: split is dev, not train or test"),
    "no messages": (table(P, put("messages", 3, [])), "prompts", f"{P}, row 4: 'messages' is empty"),
    "answered": (table(P, put("messages", 3, lambda m: [*m, {"role": "assistant", "content": "x"}])), "prompts", f"{P}, row 4: the last message is the assistant's"),
    "role": (table(P, put("messages", 3, [{"role": "bot", "content": "x"}])), "prompts", f"{P}, row 4: each message needs a role"),
    "no content": (table(P, put("messages", 3, [{"role": "user", "content": None}])), "prompts", f"{P}, row 4: 'content'"),
    "null message": (table(P, put("messages", 3, [None])), "prompts", f"{P}, row 4"),
    "train in test": (table(P, same_messages), "prompts", "its messages are those of a prompt of the other split"),
    "group in both": (table(P, same_group), "prompts", "has prompts of both splits"),
    "number of prompts": (record(lambda r: r["prompts"].update(train=3)), "prompts", "12 train prompts, but set.json says 3"),
    "response twice": (table(R, lambda t: put("response_id", 1, t["response_id"][0].as_py())(t)), "responses", f"{R}, row 2: response_id"),
    "unknown prompt": (table(R, put("prompt_id", 1, "nobody")), "responses", f"{R}, row 2: prompt nobody is not in"),
    "split unlike": (table(R, unlike_its_prompt), "responses", f"{R}, row 1: split is"),
    "tokens": (table(R, put("n_tokens", 1, -2)), "responses", f"{R}, row 2: n_tokens is -2"),
    "reason": (table(R, put("finish_reason", 1, "bored")), "responses", f"{R}, row 2: finish_reason is bored"),
    "probability": (table(R, put("logprob", 1, 0.5)), "responses", f"{R}, row 2: logprob is 0.5"),
    "no probability": (table(R, put("logprob", 1, float("-inf"))), "responses", f"{R}, row 2: logprob is -inf"),
    "index": (table(R, put("sample_index", 1, 0)), "responses", f"{R}, row 2: sample_index 0 of its prompt repeats"),
    "negative index": (table(R, put("sample_index", 1, -1)), "responses", f"{R}, row 2: sample_index is -1"),
    "in two policies": (shared_id, "responses", "is another policy's, too"),
    "responses of the record": (record(lambda r: r["policies"][0].update(responses=3)), "responses", "but set.json says 3"),
    "score is NaN": (table(S, put("score", 4, float("nan"))), "scores", f"{S}, row 5: score is nan"),
    "score is infinite": (table(S, put("score", 4, float("inf"))), "scores", f"{S}, row 5: score is inf"),
    "no score": (table(S, without_row(0)), "scores", f"{R}, row 1: response"),
    "score of nothing": (table(S, put("response_id", 4, "nobody")), "scores", f"{S}, row 5: response nobody is not in"),
    "score twice": (table(S, lambda t: pa.concat_tables([t, t.slice(0, 1)])), "scores", "a second score of response"),
    "reward": (table(S, put("reward", 4, "joy")), "scores", f"{S}, row 5: reward joy is not in set.json"),
    "scale 0": (table(C, put("scale", 2, 0.0)), "scales", f"{C}, row 3: scale is 0.0"),
    "scale is NaN": (table(C, put("scale", 2, float("nan"))), "scales", f"{C}, row 3: scale is nan"),
    "scales out of order": (table(C, lambda t: t.take([1, 0, *range(2, 64)])), "scales", f"{C}, row 1: dimension is 1"),
    "scale missing": (table(C, without_row(63)), "scales", "has 63 scales, but set.json says 64 dimensions"),
    "zero vector": (table(E, put("embedding", 2, [0] * 64)), "embeddings", f"{E}, row 3: its vector is all zeros"),
    "-128": (table(E, put("embedding", 2, [-128] + [1] * 63)), "embeddings", f"{E}, row 3: a value is -128"),
    "vector missing": (table(E, without_row(0)), "embeddings", f"{R}, row 1: response"),
    "vector of nothing": (table(E, put("response_id", 2, "nobody")), "embeddings", f"{E}, row 3: response nobody"),
    "vector twice": (table(E, lambda t: put("response_id", 1, t["response_id"][0].as_py())(t)), "embeddings", f"{E}, row 2: response_id"),
    "no vectors": (table(E, lambda t: t.slice(0, 0)), "embeddings", f"{E} has no rows"),
}  # fmt: skip


def test_a_whole_set_passes_every_check(small_set):
    found = validate(small_set)
    assert found.failures == []
    assert [c.name for c in found.checks] == list(MEANING) and {c.state for c in found.checks} == {"ok"}
    assert len(found.notes) == 1 and "MB in 13 Parquet files" in found.notes[0]


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_a_line_with_file_and_row(copied, name):
    how, check, message = DAMAGE[name]
    how(copied)
    found = validate(copied)
    failures = next(c.failures for c in found.checks if c.name == check)
    assert any(message in failure for failure in failures), found.failures
    assert not any("\n" in failure for failure in found.failures)
    if check not in ("checksums", "record", "files"):
        kept = {c.name for c in found.checks if c.failures} - {check}
        allowed = {"responses": {"scores", "embeddings", "prompts"}, "prompts": {"responses"}}
        assert kept <= allowed.get(check, set()), found.failures  # nothing else is said to be wrong


def test_a_whole_kind_of_rows_is_one_line(copied):
    change_table(copied, S, lambda t: t.set_column(2, "score", pa.array([float("nan")] * t.num_rows)))
    [failure] = validate(copied).failures
    n = pq.read_metadata(copied / S).num_rows
    assert failure.endswith(f"(and {n - 1} more rows)")


def test_what_cannot_be_looked_at_is_not_called_sound(copied):
    (copied / P).unlink()
    states = {c.name: c.state for c in validate(copied).checks}
    assert states["files"] == "failed"
    assert {states[n] for n in ("prompts", "responses", "scores", "scales", "embeddings")} == {"not checked"}


def test_large_files_are_noted(copied):
    change_record(copied, lambda r: r["files"][E].update(bytes=60_000_000))
    assert any("over 50 MB" in note and E in note for note in validate(copied).notes)


def test_the_command_prints_a_list_and_fails_as_for_bad_input(cli, copied):
    good = cli("validate", copied)
    assert good.code == 0 and "ok  embeddings: every response has one vector" in good.out
    change_table(copied, S, put("score", 4, float("nan")))
    bad = cli("validate", copied)
    assert bad.code == 3 and f"{S}, row 5: score is nan" in bad.line
    assert "failed  scores" in bad.out and "ok  prompts" in bad.out
    again = cli("validate", copied, "--json")
    assert again.code == 3 and again.json["valid"] is False
    assert [c["state"] for c in again.json["checks"] if c["name"] == "scores"] == ["failed"]
    none = cli("validate", copied / "nothing", "--json")
    assert none.code == 3 and "no such folder" in none.line and none.json["valid"] is False


def test_forged_files_never_raise(copied):
    """Bytes changed at random, the record signed again: whatever is read, it ends in a list. `make fuzz` does
    the same at length."""
    rng = random.Random(0)
    names = [P, R, S, E, C]
    whole = {name: (copied / name).read_bytes() for name in names}
    found = 0
    for trial in range(50):
        name = names[trial % len(names)]
        data = bytearray(whole[name])
        for _ in range(rng.choice([1, 4, 40])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (copied / name).write_bytes(bytes(data))
        sign(copied, name)
        failures = validate(copied).failures
        assert all(isinstance(f, str) and "\n" not in f for f in failures)
        found += bool(failures)
        (copied / name).write_bytes(whole[name])
        sign(copied, name)
    assert found > 25  # most changes matter
    assert validate(copied).failures == []


def test_the_record_is_plain_json(small_set):
    record = json.loads((small_set / "set.json").read_text())
    assert record["format"] == 1 and record["prompts"] == {"train": 12, "test": 6}
    assert [p["name"] for p in record["policies"]] == ["a", "b"]
