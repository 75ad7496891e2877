"""RewardModel: scores those of the pipeline, and refuses what it was not fitted on."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from small_settings import SMALL

from rmlab import RewardModel
from rmlab.errors import ConfigError, InputError, RmlabError
from rmlab.heads.fitted.centred import CentredHead
from rmlab.responses.texts import Exchanges
from rmlab.reward.origin import Origin
from rmlab.storage.artifact import Artifact, open_artifact

NEURAL = ("embedder=transformers", "embedder.model=random-tiny", "arms=['head=linear','head=laplace']")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The artifacts of a run whose embeddings come from a transformer, and from hashed words."""
    from rmlab.cli import app

    out = tmp_path_factory.mktemp("reward")
    for overrides in (SMALL, (*SMALL, *NEURAL, "embedder.max_tokens=24")):
        app(["fit-rm", *_upstream(overrides, out)], standalone_mode=False)
    return out


def _upstream(overrides, out):
    from rmlab.cli import app

    arguments = [*overrides, "sft=none", "prompts_per_shard=4", f"out={out}"]
    for stage in ("sample", "annotate", "embed"):
        app([stage, *arguments], standalone_mode=False)
    return arguments


def fits(made, head, embedder):
    found = []
    for path in sorted((made / "fit_rm").glob(f"{head}*")):
        if RewardModel.from_artifact(path).origin.name == embedder:
            found.append(path)
    assert len(found) == 1
    return found[0]


@pytest.fixture(params=["hashing", "transformers"])
def linear(made, request):
    return RewardModel.from_artifact(fits(made, "linear", request.param))


def exchanges(made):
    (prompts,) = (made / "prompts").glob("[!.]*")
    (sample,) = (made / "sample").glob("[!.]*")
    found = Exchanges(open_artifact(prompts), open_artifact(sample))
    return [e for part in range(len(found.rows)) for e in found.read(part)]


def embeddings_of(made, model):
    for path in (made / "embed").glob("[!.]*"):
        artifact = open_artifact(path)
        if Origin.of(artifact) == model.origin:
            return artifact
    raise AssertionError


def test_texts_score_as_the_pipeline_scored_them(made, linear):
    asked = exchanges(made)
    stored = embeddings_of(made, linear)
    scores = linear.score([e.messages for e in asked], [e.response for e in asked])
    np.testing.assert_allclose(scores, linear.score_embeddings(stored.path), atol=1e-5)
    x = np.stack(stored.read(columns=["embedding"])["embedding"].to_numpy()).astype(np.float32)
    np.testing.assert_array_equal(linear.head.score(x), linear.score_embeddings(stored))
    np.testing.assert_array_equal(linear.score_embeddings(x, linear.origin), linear.head.score(x))


def test_saved_models_score_alike_in_another_process(made, linear, tmp_path):
    linear.save(tmp_path / "model")
    texts = {"prompts": ["How are you?", "Where?"], "responses": ["fine and good", "nowhere"]}
    code = (
        "import json, sys, rmlab\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
        f"model = rmlab.RewardModel.load({str(tmp_path / 'model')!r})\n"
        f"print(json.dumps(model.score(**{texts!r}).tolist()))"
    )
    done = subprocess.run(  # a fresh interpreter, as another program would be
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    np.testing.assert_allclose(json.loads(done.stdout.splitlines()[-1]), linear.score(**texts), atol=1e-6)
    again = RewardModel.load(tmp_path / "model")
    assert again.origin == linear.origin
    assert again.facts == json.loads(json.dumps(linear.facts))
    with pytest.raises(InputError, match="exists already"):
        linear.save(tmp_path / "model")


def test_rank_and_compare_follow_the_scores(made, linear):
    answers = ["good good happy", "bad", "table", "awful sad bad"]
    scores = linear.score(["Hello"] * 4, answers)
    assert linear.rank("Hello", answers).tolist() == np.argsort(-scores, kind="stable").tolist()
    found = linear.compare("Hello", answers[0], answers[1])
    raw = linear.read(["Hello"] * 2, answers[:2]).raw
    assert found.margin == pytest.approx(raw[0] - raw[1], abs=1e-6)
    assert found.probability == pytest.approx(1 / (1 + np.exp(-found.margin / linear.temperature)), abs=1e-9)
    assert found.std is None
    assert linear.compare("Hello", answers[1], answers[0]).probability == pytest.approx(1 - found.probability)


def test_a_head_that_knows_its_uncertainty_tells_it(made):
    laplace = RewardModel.from_artifact(fits(made, "laplace", "transformers"))
    found = laplace.compare("Hello", "good good happy", "bad")
    assert found.std > 0
    moderated = found.margin / laplace.temperature
    moderated /= np.sqrt(1 + np.pi / 8 * (found.std / laplace.temperature) ** 2)
    assert found.probability == pytest.approx(1 / (1 + np.exp(-moderated)))


def test_without_held_out_comparisons_there_is_no_probability(made, linear):
    bare = replace(linear, facts={**linear.facts, "temperature": None})
    with pytest.raises(InputError, match="no temperature.*n_validation"):
        bare.compare("Hello", "a", "b")


def test_embeddings_of_another_origin_are_refused(made, linear):
    others = [a for a in map(open_artifact, (made / "embed").glob("[!.]*")) if Origin.of(a) != linear.origin]
    assert others
    for other in others:
        with pytest.raises(InputError, match="another origin"):
            linear.score_embeddings(other)
    x = np.zeros((3, linear.origin.d), dtype=np.float32)
    with pytest.raises(ConfigError, match=r"origin=model\.origin"):
        linear.score_embeddings(x)
    with pytest.raises(InputError, match="template_hash"):
        linear.score_embeddings(x, replace(linear.origin, template_hash="0" * 16))
    with pytest.raises(InputError, match="width"):
        linear.score_embeddings(x[:, 1:], linear.origin)
    with pytest.raises(InputError, match="floats"):
        linear.score_embeddings(x.astype(int), linear.origin)
    stored = replace(linear.origin, embedder={**linear.origin.embedder, "storage": "float16"})
    linear.score_embeddings(x, stored)


def test_another_template_or_model_is_refused(made):
    neural = RewardModel.from_artifact(fits(made, "linear", "transformers"))
    for origin, words in (
        (replace(neural.origin, template_hash="0" * 16), "renders texts otherwise"),
        (replace(neural.origin, identity="folder:" + "0" * 64), "other contents"),
        (replace(neural.origin, model="no-such-folder/x"), "base model of the head is not there"),
    ):
        with pytest.raises(InputError, match=words):
            replace(neural, origin=origin, _opened=[]).score(["a"], ["b"])


def test_texts_that_are_too_long(made):
    neural = RewardModel.from_artifact(fits(made, "linear", "transformers"))
    long = "many words " * 200
    with pytest.warns(UserWarning, match="1 texts were longer"):
        found = neural.read(["short", "short"], ["good", long])
    assert found.truncated.tolist() == [False, True]
    assert found.n_tokens[0] > 0
    with pytest.raises(InputError, match="text 2 is longer"):
        neural.score(["short", "short"], ["good", long], long="refuse")
    with pytest.raises(ConfigError, match="cut or refuse"):
        neural.score(["short"], ["good"], long="never")


BAD = [
    (None, ["a"], "prompts must be a list"),
    (["a"], None, "responses must be a list"),
    ("a", "b", "prompts must be a list"),
    ([], [], "nothing to score"),
    (["a"], ["b", "c"], "1 prompts and 2 responses"),
    (["a", None], ["b", "c"], "text 2: 'prompt'"),
    (["a", 3], ["b", "c"], "text 2: 'prompt'"),
    (["a"], [3], "text 1: 'response' must be text"),
    (["a"], [None], "text 1: 'response' must be text"),
    ([" "], ["b"], "text 1: 'prompt' is empty"),
    ([[]], ["b"], "text 1: 'messages' is empty"),
    ([[{"role": "judge", "content": "x"}]], ["b"], "text 1: each message needs a role"),
    ([[{"role": "assistant", "content": "x"}]], ["b"], "text 1: the last message is the assistant's"),
    (["a"], [[{"role": "user", "content": "x"}]], "text 1: 'response' must be one message"),
    (["a"], ["\ud800"], "surrogate"),
    (["a"], [["b"]], "text 1: each message needs a role"),
    (["a"], [{"role": "assistant", "content": "x"}], "text 1: 'response' must be text, got dict"),
    ([b"a"], ["b"], "text 1: 'prompt' must be text or a list of messages, got bytes"),
    ({"a"}, ["b"], "prompts must be a list, one entry for each response, got set"),
    (iter(["a"]), ["b"], "prompts must be a list, one entry for each response, got list_iterator"),
    (pd.DataFrame({"prompt": ["a"]}), ["b"], "prompts must be a list, .* got DataFrame"),
    (pd.Series(["a", float("nan")]), ["b", "c"], "text 2: 'prompt' must be text or a list"),
    (["a", 3], [None, "b"], "text 1: 'response' must be text, got NoneType"),
]


@pytest.mark.parametrize(("prompts", "responses", "words"), BAD)
def test_bad_texts_end_in_one_line(made, prompts, responses, words):
    hashing = RewardModel.from_artifact(fits(made, "linear", "hashing"))
    with pytest.raises(InputError, match=words):
        hashing.score(prompts, responses)


def test_columns_are_lists_of_texts(made):
    hashing = RewardModel.from_artifact(fits(made, "linear", "hashing"))
    expected = hashing.score(["a", "b"], ["good", "bad"]).tolist()
    for column in (pa.array, pl.Series, np.array, partial(pd.Series, index=[7, 9])):
        assert hashing.score(column(["a", "b"]), column(["good", "bad"])).tolist() == expected


BAD_CALLS = [
    (lambda model: model.rank("a", None), "responses must be a list, .* got NoneType"),
    (lambda model: model.rank("a", 3), "responses must be a list, .* got int"),
    (lambda model: model.rank("a", "bc"), "responses must be a list, .* got str"),
    (lambda model: model.rank(None, ["a", "b"]), "text 1: 'prompt' must be text"),
    (lambda model: model.rank("a", []), "nothing to score"),
    (lambda model: model.compare("a", None, "b"), "text 1: 'response' must be text"),
    (lambda model: model.compare("a", "b", "c", long="no"), "long must be cut or refuse, got no"),
    (lambda model: model.score_embeddings(None), "must be a numpy array, .* got NoneType"),
    (lambda model: model.score_embeddings([[0.1]]), "must be a numpy array, .* got list"),
    (lambda model: model.score_embeddings(np.zeros((1, 64)), 3), "origin must be .* got int"),
    (lambda model: model.score_embeddings("none-such"), "no such folder"),
    (lambda model: model.save(None), "give the folder of a reward model, .* got NoneType"),
    (lambda model: model.save("/proc/none-such/model"), "cannot be written"),
    (lambda model: RewardModel.load(None), "give the folder of a reward model, .* got NoneType"),
    (lambda model: RewardModel.load(" "), "got an empty text"),
    (lambda model: RewardModel.from_artifact(3), "got int"),
    (lambda model: replace(model, base_model=3), "base_model must be a name or a path, got int"),
    (lambda model: replace(model, allow_modules="mine"), "allow_modules must be a list of modules"),
]


@pytest.mark.parametrize(("call", "words"), BAD_CALLS)
def test_bad_calls_end_in_one_line(made, call, words):
    with pytest.raises(RmlabError, match=words) as caught:
        call(RewardModel.from_artifact(fits(made, "linear", "hashing")))
    assert len(str(caught.value).splitlines()) == 1


def test_long_texts_that_are_compared_are_told_of(made):
    neural = RewardModel.from_artifact(fits(made, "linear", "transformers"))
    with pytest.warns(UserWarning, match="2 texts were longer"):
        neural.compare("many words " * 200, "good", "bad")
    with pytest.raises(InputError, match="response b is longer than the embedding model reads"):
        neural.compare("short", "good", "many words " * 200, long="refuse")


def test_messages_and_texts_are_the_same(made):
    hashing = RewardModel.from_artifact(fits(made, "linear", "hashing"))
    as_text = hashing.score(["Hello"], ["good"])
    messages = [{"role": "user", "content": "Hello"}]
    assert hashing.score([messages], [[{"role": "assistant", "content": "good"}]]) == as_text


def test_a_centred_head_scores_the_responses_of_a_prompt_together(made):
    plain = RewardModel.from_artifact(fits(made, "linear", "hashing"))
    centred = replace(plain, head=CentredHead(plain.head))
    scores = centred.score(["A", "B", "A", "B"], ["good", "bad", "fine good", "good"])
    np.testing.assert_allclose(scores[[0, 2]], centred.score(["A", "A"], ["good", "fine good"]))
    with pytest.raises(InputError, match="at least two responses"):
        centred.score(["A", "B"], ["good", "bad"])
    with pytest.raises(ConfigError, match="needs prompts"):
        centred.score_embeddings(np.zeros((2, plain.origin.d)), plain.origin)
    assert 0 < centred.compare("A", "good", "bad").probability < 1


def test_folders_that_hold_no_reward_model(made, linear, tmp_path):
    fit = Path(linear.place)
    linear.save(tmp_path / "model")
    (tmp_path / "rotten").mkdir()
    (tmp_path / "rotten" / "reward_model.json").write_text("{}")
    for folder, words in (
        (fit / "head", "a head without a record"),
        (made / "embed", "holds no reward model"),
        (next((made / "embed").glob("[!.]*")), "which has no head"),
        (tmp_path / "none", "no such folder"),
        (tmp_path / "rotten", "cannot be read"),
    ):
        with pytest.raises(InputError, match=words):
            RewardModel.load(folder)
    shutil.copytree(tmp_path / "model", tmp_path / "bare")
    (tmp_path / "bare" / "reward_model.json").unlink()
    with pytest.raises(InputError, match=r"bare holds no reward model \(its reward_model.json is missing\)"):
        RewardModel.load(tmp_path / "bare")
    record = tmp_path / "model" / "reward_model.json"
    record.write_text(record.read_text().replace('"plain"', '"chat"'))
    with pytest.raises(InputError, match="not as it was written"):
        RewardModel.load(tmp_path / "model")


def test_a_fit_without_its_embeddings_says_so(made, linear, tmp_path):
    alone = tmp_path / "fit_rm" / Path(linear.place).name
    shutil.copytree(linear.place, alone)
    with pytest.raises(InputError, match="are not beside it"):
        RewardModel.from_artifact(alone)


def test_imported_embeddings_have_no_texts(made, linear):
    imported = replace(
        linear.origin, embedder={"_name_": "file", "column": "embedding"}, model="", identity=""
    )
    with pytest.raises(InputError, match="imported from a file"):
        replace(linear, origin=imported, _opened=[]).score(["a"], ["b"])


def test_origin_survives_json(linear):
    assert Origin.from_json(linear.origin.to_json()) == linear.origin
    for broken in ({}, {**linear.origin.to_json(), "d": "wide"}, None):
        with pytest.raises(ValueError, match=r"."):
            Origin.from_json(broken)
    assert isinstance(linear.embedder.dimension, int)
    assert not isinstance(linear, Artifact)


def test_the_page_on_using_a_head_runs_as_printed(made, tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "docs" / "use_a_head.md").read_text(encoding="utf-8")
    first, second = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "artifacts").symlink_to(made)
    fit = fits(made, "linear", "hashing")
    monkeypatch.chdir(tmp_path)
    assert "linear-bradley_terry-0123456789abcdef" in first
    names: dict = {}
    exec(first.replace("linear-bradley_terry-0123456789abcdef", fit.name), names)
    assert names["scores"].shape == (2,)
    exec(second, names)
    talk = [[{"role": "user", "content": "How are you?"}]]
    answer = [[{"role": "assistant", "content": "Go away."}]]
    assert (
        names["reward"](["How are you?"], ["Go away."])
        == names["reward"](talk, answer)
        == [names["scores"][1]]
    )
