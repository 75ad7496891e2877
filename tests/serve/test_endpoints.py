"""Every route gives the scores that the reward model gives in Python."""

from __future__ import annotations

import numpy as np
import pytest
from live_server import live
from random_rewards import on_hashes, on_model

from rmlab.models.text.tokens import Encoded, begin_tokens
from rmlab.reward.model import RewardModel
from rmlab.serve.limits import Limits
from rmlab.serve.scorer import ModelScorer

PROMPTS = [
    "How are you?",
    [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where?"}],
    "So?",
]
ANSWERS = ["I am well, thank you.", [{"role": "assistant", "content": "Over there."}], ""]


@pytest.fixture(scope="module")
def models(tiny_model):
    return {
        "hashing": on_hashes(),
        "mean": on_model(tiny_model, "mean"),
        "last": on_model(tiny_model, "last", layer=0),
        "end": on_model(tiny_model, "end", template="hh"),
    }


@pytest.fixture(scope="module")
def servers(models):
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield {n: stack.enter_context(live(ModelScorer(m, n))) for n, m in models.items()}


@pytest.mark.parametrize("name", ["hashing", "mean", "last", "end"])
def test_score_is_that_of_the_model(models, servers, name):
    wanted = models[name].read(PROMPTS, ANSWERS)
    found = servers[name].score(PROMPTS, ANSWERS)
    assert found.status == 200
    np.testing.assert_allclose(found.json["scores"], wanted.score, atol=1e-5)
    assert found.json["n_tokens"] == wanted.n_tokens.tolist()
    assert found.json["truncated"] == [False] * 3 and "warnings" not in found.json
    talks = [
        [{"role": "user", "content": "How are you?"}, {"role": "assistant", "content": ANSWERS[0]}],
        [*PROMPTS[1], *ANSWERS[1]],
    ]
    again = servers[name].ask("/score", {"messages": talks})
    np.testing.assert_allclose(again.json["scores"], wanted.score[:2], atol=1e-5)
    one = servers[name].ask("/score", {"prompt": PROMPTS[0], "response": ANSWERS[0], "label": "7"})
    assert one.json["score"] == one.json["scores"][0] == pytest.approx(wanted.score[0], abs=1e-5)


@pytest.mark.parametrize("name", ["hashing", "mean", "end"])
def test_classify_reads_conversations_as_vllm_does(models, servers, name):
    talk = [*PROMPTS[1], *ANSWERS[1]]
    wanted = models[name].score(PROMPTS[1:2], ANSWERS[1:2])[0]
    found = servers[name].ask("/classify", {"model": "any", "messages": talk, "use_activation": False}).json
    assert found["object"] == "list" and found["model"] == name and found["id"].startswith("classify-")
    assert isinstance(found["created"], int) and found["usage"]["total_tokens"] > 0
    (row,) = found["data"]
    assert {k: row[k] for k in ("index", "label", "num_classes")} == {
        "index": 0, "label": "LABEL_0", "num_classes": 1
    }  # fmt: skip
    assert row["probs"][-1] == pytest.approx(wanted, abs=1e-5)  # which is what verl's client reads


def test_classify_reads_texts_and_tokens_as_the_tokenizer_does(models, servers):
    model, server = models["end"], servers["end"]
    tokenizer = model.embedder.tokenizer
    texts = ["A text of its own.", "Another: \n\nAssistant: yes"]
    for special in (True, False):
        ids = [tokenizer(text, add_special_tokens=special)["input_ids"] for text in texts]
        wanted = model.score_tokens([Encoded(row, []) for row in ids]).score
        for given in (texts, ids):
            body = {"input": given, "add_special_tokens": special}
            found = server.ask("/classify", body).json
            np.testing.assert_allclose([r["probs"][0] for r in found["data"]], wanted, atol=1e-5)
            assert found["usage"]["prompt_tokens"] == sum(map(len, ids))
        for given in (texts[1], ids[1]):
            found = server.ask("/classify", {"input": given, "add_special_tokens": special}).json
            assert [r["probs"][0] for r in found["data"]] == pytest.approx([wanted[1]], abs=1e-5)


@pytest.mark.parametrize("name", ["hashing", "mean"])
def test_input_without_messages_needs_the_end_of_a_text(servers, name):
    found = servers[name].ask("/classify", {"input": "A text."})
    assert found.status == 400 and "pooling=end" in found.reason


def test_get_reward_of_whole_texts_is_that_of_their_tokens(models, servers):
    model, tokenizer = models["end"], models["end"].embedder.tokenizer
    end = tokenizer.eos_token or tokenizer.pad_token
    prompts = ["\n\nHuman: Hi\n\nAssistant:"] * 2 + ["Other"]
    queries = [f"{prompts[0]} good{end}", f"{prompts[0]} bad", f"Other words{end}"]
    rows = [tokenizer(query, add_special_tokens=False)["input_ids"] for query in queries]
    wanted = model.score_tokens([Encoded(row, []) for row in rows]).score
    for body in ({"query": queries, "prompts": prompts, "labels": ["", "", ""]}, {"query": queries}):
        found = servers["end"].ask("/get_reward", body).json
        np.testing.assert_allclose(found["rewards"], wanted, atol=1e-5)
        assert found["scores"] == found["rewards"] and found["extra_logs"] == {"truncated": [0.0] * 3}


def test_a_query_that_is_too_long_keeps_its_end_with_and_without_its_prompt(models, servers):
    model = models["end"]
    tokenizer = model.embedder.tokenizer
    prompt = "\n\nHuman: Hi\n\nAssistant:"
    query = f"{prompt} {'good ' * 400}at last{tokenizer.eos_token}"
    ids = tokenizer(query, add_special_tokens=False)["input_ids"]
    wanted = model.score_tokens([Encoded(ids[-model.embedder.limit :], [])]).score
    for body in ({"query": [query], "prompts": [prompt]}, {"query": [query]}):
        found = servers["end"].ask("/get_reward", body).json
        np.testing.assert_allclose(found["rewards"], wanted, atol=1e-5)
        assert found["extra_logs"] == {"truncated": [1.0]}


def test_get_reward_names_an_empty_prompt_and_a_strict_server_an_empty_response(models, servers):
    reply = servers["mean"].ask("/get_reward", {"query": ["hello"], "prompts": [""]})
    assert reply.status == 400 and "query 1: its prompt is empty" in reply.reason
    with live(ModelScorer(models["mean"], "mean"), Limits(strict=True)) as server:
        reply = server.ask("/get_reward", {"query": ["Q"], "prompts": ["Q"]})
        assert reply.status == 400 and "its response is empty" in reply.reason


def test_the_messages_of_a_text_count_together(models):
    with live(ModelScorer(models["hashing"], "hashing"), Limits(max_chars=100)) as server:
        talk = [{"role": "user", "content": "x" * 60}, {"role": "assistant", "content": "y" * 60}]
        reply = server.ask("/score", {"messages": [talk]})
        assert reply.status == 400 and "has 120 characters, and a text may have 100" in reply.reason


def test_get_reward_of_responses_leaves_out_the_end_token(models, servers):
    model, tokenizer = models["mean"], models["mean"].embedder.tokenizer
    end = tokenizer.eos_token or tokenizer.pad_token
    prompt = "How are you?"
    wanted = model.score([prompt] * 2, [" Well.", " Not well."])
    queries = [f"{prompt} Well.{end}", f"{prompt} Not well."]
    found = servers["mean"].ask("/get_reward", {"query": queries, "prompts": [prompt] * 2, "labels": []})
    np.testing.assert_allclose(found.json["rewards"], wanted, atol=1e-5)
    other = servers["mean"].ask("/get_reward", {"query": queries, "prompts": ["Hm", prompt]})
    assert other.status == 400 and "query 1 does not begin with its prompt" in other.reason
    alone = servers["mean"].ask("/get_reward", {"query": queries})
    assert alone.status == 400 and "send prompts" in alone.reason
    text = servers["hashing"].ask("/get_reward", {"query": ["Hi good day"], "prompts": ["Hi"]})
    assert text.json["rewards"] == pytest.approx(models["hashing"].score(["Hi"], [" good day"]))


def test_a_text_that_is_too_long_is_cut_and_told(models, servers):
    long = " word" * 500
    found = servers["mean"].score(["Hi"], [long])
    assert found.json["truncated"] == [True] and "1 texts were longer" in found.json["warnings"][0]
    with pytest.warns(UserWarning, match="longer than"):
        assert found.json["scores"] == pytest.approx(models["mean"].score(["Hi"], [long]), abs=1e-5)
    assert "rmlab_truncated_total 1" in servers["mean"].ask("/metrics", method="GET").body.decode()


def test_a_centred_head_compares_within_a_request():
    model = on_hashes(centred=True)
    with live(ModelScorer(model, "centred")) as server:
        answers = ["good day", "bad day", "no"]
        wanted = model.score(["Hi"] * 3, answers)
        np.testing.assert_allclose(server.score(["Hi"] * 3, answers).json["scores"], wanted)
        for reply in (
            server.score(["Hi", "Hi", "Ho"], answers),
            server.ask("/score", {"prompt": "Hi", "response": "good"}),
            server.ask(
                "/classify",
                {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
            ),
        ):
            assert reply.status == 400 and "at least two responses to every prompt" in reply.reason


def test_requests_of_a_centred_head_are_not_compared_with_each_other():
    from rmlab.serve.asked import Desk
    from rmlab.serve.batching import _scored
    from rmlab.serve.limits import Limits

    model = on_hashes(centred=True)
    desk = Desk(ModelScorer(model, "centred"), Limits())
    asked = [["good day", "bad day"], ["what", "never ever", "no"]]
    jobs = [desk.texts(["Hi"] * len(answers), answers) for answers in asked]
    for found, answers in zip(_scored(jobs, desk.scorer), asked, strict=True):
        np.testing.assert_allclose(found.score, model.score(["Hi"] * len(answers), answers))


def test_health_and_metrics(servers):
    server = servers["hashing"]
    assert server.ask("/health", method="GET").json == {"status": "ok", "model": "hashing"}
    server.score(["a", "b"], ["x y", "z"])
    reply = server.ask("/metrics", method="GET")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = dict(line.rsplit(" ", 1) for line in reply.body.decode().splitlines() if line[:1] != "#")
    assert int(lines['rmlab_requests_total{route="/score",status="200"}']) >= 1
    assert lines['rmlab_request_seconds_bucket{le="+Inf"}'] == lines["rmlab_request_seconds_count"]
    assert int(lines["rmlab_texts_total"]) >= 2 and float(lines["rmlab_queue_texts"]) == 0
    assert lines["rmlab_ready"] == "1"
    buckets = [int(v) for k, v in lines.items() if k.startswith("rmlab_batch_texts_bucket")]
    assert buckets == sorted(buckets)


def test_every_kind_of_head_is_served(small_run):
    fits = sorted((small_run / "fit_rm").glob("[!.]*"))
    assert len(fits) == 2  # a linear one and trees
    for fit in fits:
        model = RewardModel.from_artifact(fit)
        answers = ["good happy day", "bad", "table and chair", ""]
        with live(ModelScorer(model, fit.name)) as server:
            found = server.score(["Hi"] * 4, answers).json["scores"]
        np.testing.assert_allclose(found, model.score(["Hi"] * 4, answers), atol=1e-6)


def test_messages_and_what_a_chat_template_makes_of_them_score_alike(tiny_model):
    """By texts and by tokens, as transformers and vLLM make them."""
    model = on_model(tiny_model, "end", template="chat")
    tokenizer = model.embedder.tokenizer
    talks = [
        [*PROMPTS[1], *ANSWERS[1]],
        [{"role": "user", "content": "Hi\n\n"}, {"role": "assistant", "content": " yes "}],
    ]
    texts = [tokenizer.apply_chat_template(talk, tokenize=False) for talk in talks]
    begin = begin_tokens(tokenizer)
    ids = [begin + tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    with live(ModelScorer(model, "chat")) as server:

        def rewards(**body):
            return [row["probs"][0] for row in server.ask("/classify", body).json["data"]]

        wanted = rewards(messages=talks)
        np.testing.assert_allclose(rewards(input=ids), wanted, atol=1e-5)
        if not begin:
            np.testing.assert_allclose(rewards(input=texts), wanted, atol=1e-5)
            found = server.ask("/get_reward", {"query": texts}).json["rewards"]
            np.testing.assert_allclose(found, wanted, atol=1e-5)
        np.testing.assert_allclose(
            [model.score([talk[:-1]], [talk[-1:]])[0] for talk in talks], wanted, atol=1e-5
        )
