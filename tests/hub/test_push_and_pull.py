"""push and pull against a hub on loopback: what arrives is what was sent, and nothing goes unasked."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys

import numpy as np
import pytest
import yaml
from huggingface_hub import constants
from stand_in import TOKEN, Repo

from rmlab import RewardModel
from rmlab.sets.validate import validate
from rmlab.storage.digest import sealed
from rmlab.storage.files import json_text

LICENCE = ("--license", "apache-2.0")
PROMPTS, RESPONSES = ["How are you?"] * 3, ["I am well, thank you.", "Go away.", "ok"]


@pytest.fixture
def sent(cli, world, fit):
    """A hub that has the head as me/head."""
    assert cli("push", fit, "me/head", *LICENCE, "--yes").code == 0
    return world


def test_a_head_comes_back_with_scores_equal_to_the_bit(cli, sent, fit, tmp_path):
    done = cli("pull", "me/head", tmp_path / "back")
    assert done.code == 0, done.err
    back = RewardModel.load(tmp_path / "back")
    scores = RewardModel.load(fit).score(PROMPTS, RESPONSES)
    assert np.array_equal(back.score(PROMPTS, RESPONSES), scores) and np.ptp(scores) > 0
    assert sorted(p.name for p in (tmp_path / "back").iterdir()) == ["README.md", "head", "reward_model.json"]
    assert f"next: rmlab score FILE --head {tmp_path / 'back'}" in done.out
    assert [path.name for path in tmp_path.iterdir() if path.name != "back"] in ([], [".lock"])


def test_an_embedding_set_becomes_a_dataset_and_comes_back_valid(cli, world, released, tmp_path):
    assert cli("push", released, "me/tiny", "--yes", "--json").json["repo_type"] == "dataset"
    assert ("dataset", "me/tiny") in world.repos
    assert cli("pull", "me/tiny", tmp_path / "one").code == 0  # found though no model has this name
    assert cli("pull", "datasets/me/tiny", tmp_path / "two").code == 0
    assert not validate(tmp_path / "two").failures
    for name in (p.name for p in released.iterdir() if not p.name.startswith(".")):
        assert (tmp_path / "two" / name).read_bytes() == (released / name).read_bytes()


def test_a_saved_folder_is_sent_as_it_is_and_a_second_time(cli, world, fit, tmp_path):
    RewardModel.load(fit).save(tmp_path / "saved")
    for _ in range(2):
        assert cli("push", tmp_path / "saved", "me/saved", *LICENCE, "--yes").code == 0
    assert sorted(world.repos["model", "me/saved"].files) == [
        "README.md",
        "head/head.json",
        "head/head.safetensors",
        "reward_model.json",
    ]


def test_the_card_says_what_the_head_is(sent):
    card = sent.repos["model", "me/head"].files["README.md"].decode()
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == "apache-2.0" and front["library_name"] == "rmlab"
    accuracy = front["model-index"][0]["results"][0]["metrics"][0]
    assert accuracy["type"] == "accuracy" and accuracy["args"]["low"] <= accuracy["value"]
    assert "95 % interval" in card and 'RewardModel.load("my-reward-model")' in card
    assert "| loss | `bradley_terry` |" in card and re.search(r"\| train comparisons \| `\d+` \|", card)


def test_no_path_of_this_machine_and_no_token_is_sent(sent, small_run):
    for content in sent.repos["model", "me/head"].files.values():
        assert str(small_run).encode() not in content and TOKEN.encode() not in content


def test_a_local_base_model_is_named_without_its_folder(cli, world, fit, tmp_path):
    model = RewardModel.load(fit)
    model.save(tmp_path / "saved")
    record = json.loads((tmp_path / "saved" / "reward_model.json").read_text())
    record.pop("sha256")
    record["origin"]["model"] = "/home/someone/secret/my-base"
    record["facts"]["settings"]["source"] = "/home/someone/secret/pairs.jsonl"
    (tmp_path / "saved" / "reward_model.json").write_text(json_text(sealed(record)))
    assert cli("push", tmp_path / "saved", "me/local", *LICENCE, "--yes").code == 0
    files = world.repos["model", "me/local"].files
    assert b"secret" not in b"".join(files.values())
    assert 'base_model="my-base"' in files["README.md"].decode()
    assert cli("pull", "me/local", tmp_path / "back").code == 0
    assert RewardModel.load(tmp_path / "back").origin.model == "./my-base"


def test_private_arrives_and_a_public_repository_is_not_taken_for_it(cli, world, fit):
    assert cli("push", fit, "me/own", *LICENCE, "--yes", "--private").code == 0
    assert world.repos["model", "me/own"].private
    world.repos["model", "me/open"] = Repo(private=False)
    line = cli("push", fit, "me/open", *LICENCE, "--yes", "--private").line
    assert "exists and is public" in line and not world.repos["model", "me/open"].files


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_without_a_word_no_request_is_made(cli, world, fit, extra):
    done = cli("push", fit, "me/head", *LICENCE, *extra)
    assert done.code == 2 and "add --yes" in done.line and world.asked == []


def test_a_dry_run_shows_the_files_and_makes_no_request(cli, world, fit):
    done = cli("push", fit, "me/head", *LICENCE, "--dry-run")
    assert "head/head.safetensors" in done.out and "nothing was sent" in done.out and world.asked == []


@pytest.mark.parametrize(("word", "goes"), [("me/head", True), ("yes", True), ("no", False), ("", False)])
def test_on_a_terminal_the_word_decides(cli, world, fit, monkeypatch, word, goes):
    terminal = io.StringIO(f"{word}\n")
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    assert (cli("push", fit, "me/head", *LICENCE).code == 0) is goes
    assert bool(world.asked) is goes


def test_a_head_needs_a_licence_and_a_set_has_its_own(cli, world, fit, released):
    assert "--license" in cli("push", fit, "me/head", "--yes").line
    assert "leave it out" in cli("push", released, "me/set", *LICENCE, "--yes").line
    assert world.asked == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("weights.bin", b"\x80\x04", "pickles and code"),
        ("run.py", b"1", "pickles"),
        ("notes.doc", b"", "no reward model"),
    ],
)
def test_foreign_files_are_not_sent(cli, world, fit, tmp_path, name, content, said):
    RewardModel.load(fit).save(tmp_path / "saved")
    (tmp_path / "saved" / name).write_bytes(content)
    assert said in cli("push", tmp_path / "saved", "me/x", *LICENCE, "--yes").line and world.asked == []


def test_links_are_not_followed(cli, world, fit, tmp_path):
    RewardModel.load(fit).save(tmp_path / "saved")
    (tmp_path / "saved" / "LICENSE").symlink_to("/etc/hostname")
    assert "link" in cli("push", tmp_path / "saved", "me/x", *LICENCE, "--yes").line and world.asked == []


def test_a_damaged_set_is_not_sent(cli, world, released, tmp_path):
    copy = shutil.copytree(released, tmp_path / "copy")
    (copy / "prompts.parquet").write_bytes(b"PAR1")
    assert cli("push", copy, "me/set", "--yes").code == 3 and world.asked == []


def test_a_repository_with_other_files_is_left_alone(cli, world, fit):
    world.repos["model", "me/head"] = Repo(False, {"pytorch_model.bin": b"x", ".gitattributes": b""})
    line = cli("push", fit, "me/head", *LICENCE, "--yes").line
    assert "pytorch_model.bin" in line and len(world.repos["model", "me/head"].files) == 2


# what pull refuses; nothing of it stays


@pytest.fixture
def refused(cli, sent, tmp_path):
    def call(*more):
        before = len(list((tmp_path / "place").iterdir())) if (tmp_path / "place").exists() else 0
        done = cli("pull", "me/head", tmp_path / "place" / "back", *more)
        assert done.code in (2, 3) and TOKEN not in done.err
        left = [p.name for p in (tmp_path / "place").glob("*")] if (tmp_path / "place").exists() else []
        assert not [name for name in left if "back" in name] and before == 0
        return done.line

    return call


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pkl", "modeling_own.py", "../out.json", "a/b.txt"]
)
def test_a_repository_with_a_foreign_file_is_not_fetched(refused, sent, name):
    sent.repos["model", "me/head"].files[name] = b"\x80\x04."
    assert "out.json" in refused() or name in refused()
    assert not [path for method, path in sent.asked if method == "GET" and "resolve" in path]


def test_a_file_that_is_not_as_listed_is_refused(refused, sent):
    content = sent.repos["model", "me/head"].files["head/head.safetensors"]
    sent.changed["head/head.safetensors"] = content[:-1] + bytes([content[-1] ^ 1])
    assert "did not come as the hub lists it" in refused()


@pytest.mark.parametrize("name", ["head/head.safetensors", "head/head.json", "reward_model.json"])
def test_a_file_that_was_changed_on_the_hub_fails_by_its_own_digest(refused, sent, name):
    content = sent.repos["model", "me/head"].files[name]
    sent.repos["model", "me/head"].files[name] = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
    assert "not as it was pushed" in refused()


def test_a_transfer_that_breaks_leaves_nothing(refused, sent, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    sent.broken.add("head/head.json")
    assert "cannot be reached" in refused() or "did not come" in refused()


@pytest.mark.parametrize(("status", "said"), [(401, "HF_TOKEN"), (403, "403"), (404, "404"), (500, "500")])
def test_a_hub_that_refuses_is_one_line(refused, sent, monkeypatch, status, said):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    sent.status = status
    assert said in refused()


def test_a_gated_repository_and_an_unknown_revision_are_named(refused, sent):
    assert "no such revision" in refused("--revision", "v9")
    sent.repos["model", "me/head"].gated = True
    assert "gated" in refused()


def test_a_hub_out_of_reach_or_forbidden_is_one_line(cli, world, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    line = cli("pull", "me/head", tmp_path / "x", "--endpoint", "http://user:secret@127.0.0.1:9").line
    assert "127.0.0.1:9 cannot be reached" in line and "secret" not in line
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in cli("pull", "me/head", tmp_path / "x").line
    assert "https://HOST" in cli("pull", "me/head", tmp_path / "x", "--endpoint", "ftp://x").line


def test_bad_names_and_places(cli, world, fit, tmp_path):
    for name in ("head", "../x", "a/b/c", "me/he ad", "me/..", "me/--x--"):
        assert "OWNER/NAME" in cli("pull", name, tmp_path / "x").line
    (tmp_path / "there").mkdir()
    assert "exists already" in cli("pull", "me/head", tmp_path / "there").line
    assert "no such folder" in cli("push", tmp_path / "nowhere", "me/x", *LICENCE, "--yes").line
    assert "nothing of rmlab" in cli("push", tmp_path / "there", "me/x", *LICENCE, "--yes").line
    assert world.asked == []
