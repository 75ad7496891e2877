"""What goes wrong where models run: odd models, little memory, damaged weights. One line, or counted."""

from __future__ import annotations

import fcntl
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file, save_file
from small_settings import SMALL
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForSequenceClassification

from rmlab.config.settings import Sampling
from rmlab.embedders.transformers import TransformersEmbedder
from rmlab.errors import InputError, RmlabError
from rmlab.goldens.judge import Judge
from rmlab.goldens.sequence_classifier import SequenceClassifier
from rmlab.models.bundled import random_tiny, stored
from rmlab.models.bundled.random_tiny import byte_tokenizer, write_random_model
from rmlab.models.compute import Compute
from rmlab.models.decoding.fused import FusedLayers
from rmlab.models.text.rendering import Exchange
from rmlab.models.weights import find_model
from rmlab.samplers.base import SamplingTask
from rmlab.samplers.transformers import TransformersSampler
from rmlab.storage.artifact import open_artifact
from rmlab.storage.integrity import FOLDER_SEAL, is_as_sealed

WEIGHTS = "model.safetensors"
REAL = ("sampler=transformers", "embedder=transformers", "golden=length", "arms=[]")
TEXTS = ["good", "", "a longer answer, with <eos> in it", "no, not at all", "ok then"]
ROWS = [Exchange("p", f"r{i}", [{"role": "user", "content": "How?"}], t) for i, t in enumerate(TEXTS)]


def stage(out, name) -> Path:
    [folder] = [p for p in (out / name).iterdir() if (p / "manifest.json").is_file()]
    return folder


def flip(file: Path, at=-3) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 0x11
    file.write_bytes(bytes(content))


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def write_classifier(folder, labels=1, seed=3):
    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_labels=labels, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_ending(folder, logit: float) -> Path:
    """A model whose end token has about this logit everywhere, and all others about 0."""
    write_random_model(folder, seed=1)
    model = AutoModelForCausalLM.from_pretrained(folder)
    width = model.config.hidden_size**0.5  # of the first dimension after the norm, where it is all there is
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 100
        model.lm_head.weight[:, 0] = 0
        model.lm_head.weight[model.config.eos_token_id, 0] = logit / width
    model.save_pretrained(folder)
    return folder


# --- responses that are empty or never end


def test_a_model_that_ends_at_once_is_said_and_goes_on_to_the_heads(cli, tmp_path):
    folder = write_ending(tmp_path / "m", 1000)
    args = (*SMALL, *REAL, "sft=none", f"model={folder}", f"out={tmp_path / 'o'}")
    result = cli("sample", *args)
    assert result.code == 0, result.err
    made = open_artifact(stage(tmp_path / "o", "sample"))
    assert made.manifest.counts["empty_responses"] == made.manifest.rows == 96
    [warning] = made.manifest.warnings
    assert "96 of 96 responses are empty" in warning and "prompts.template" in warning
    assert f"sample: warning: {warning}" in result.err.splitlines()
    assert set(made.read()["text"].to_pylist()) == {""}
    for name in ("annotate", "embed"):
        assert cli(name, *args).code == 0
    embedded = open_artifact(stage(tmp_path / "o", "embed"))
    assert embedded.manifest.counts["empty_responses"] == embedded.manifest.rows == 96
    vectors = np.stack(embedded.read()["embedding"].to_pylist())
    assert np.isfinite(vectors).all() and vectors.any()
    result = cli("fit-rm", *args)  # nothing to learn from: all are as long
    assert result.code == 3 and "equal golden rewards" in result.line


def test_some_empty_responses_are_counted_and_no_trouble_for_any_stage(cli, tmp_path):
    folder = write_ending(tmp_path / "m", np.log(130))  # every third token
    args = (*SMALL, *REAL, "sft=none", f"model={folder}", f"out={tmp_path / 'o'}")
    result = cli("run", *args, "comparisons.n=20", "comparisons.n_validation=5", "--json")
    assert result.code == 0, result.err
    counts = {s["stage"]: s["counts"] for s in result.json["stages"]}
    n = counts["sample"]["empty_responses"]
    assert 10 < n < 48 and counts["embed"]["empty_responses"] <= n
    assert next(s for s in result.json["stages"] if s["stage"] == "sample")["warnings"] == []


def test_a_model_that_never_ends_is_said_with_the_setting(cli, tmp_path):
    folder = write_ending(tmp_path / "m", -1000)
    args = (*SMALL, *REAL, "sft=none", f"model={folder}", f"out={tmp_path / 'o'}")
    result = cli("sample", *args)
    assert result.code == 0, result.err
    made = open_artifact(stage(tmp_path / "o", "sample"))
    assert made.manifest.counts["cut_at_max_new_tokens"] == made.manifest.rows == 96
    assert set(made.read()["n_tokens"].to_pylist()) == {12}
    [warning] = made.manifest.warnings
    assert "96 of 96 responses were cut at sampling.max_new_tokens=12" in warning and "\n" not in warning
    assert f"sample: warning: {warning}" in result.err.splitlines()


# --- little memory


def small_memory(monkeypatch, kind, room):
    """Forward passes of more than so many rows fail as they do on a GPU that is full."""
    monkeypatch.setattr("rmlab.models.oom_retry.gc.collect", lambda: 0)  # a third of a second each
    forward, seen = kind.forward, []

    def small(self, *args, **inputs):
        seen.append(len(inputs["input_ids"]))
        if seen[-1] > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(self, *args, **inputs)

    states = FusedLayers._states

    def small_fused(self, ids, *args):
        seen.append(len(ids))
        if seen[-1] > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return states(self, ids, *args)

    monkeypatch.setattr(kind, "forward", small)
    monkeypatch.setattr(FusedLayers, "_states", small_fused)
    monkeypatch.setattr("rmlab.models.compute.try_model", lambda model: None)  # reads no batch
    return seen


def judged(folder):
    return Judge(str(folder), score="log_odds", question="{prompt} {response}").open(Compute())(ROWS)


def classified(folder):
    return SequenceClassifier(str(folder)).open(Compute())(ROWS)


def embedded(folder):
    opened = TransformersEmbedder().open(str(folder), "chat", Compute())
    return opened.embed(ROWS, lambda *_: None).vectors


@pytest.mark.parametrize("what", [judged, classified, embedded])
def test_a_batch_that_does_not_fit_is_halved_and_nothing_changes(what, tmp_path, monkeypatch, capsys):
    from transformers import LlamaModel

    folder = tmp_path / "m"
    write_classifier(folder) if what is classified else write_random_model(folder, initializer_range=0.5)
    expected = np.asarray(what(folder))
    seen = small_memory(monkeypatch, LlamaModel, 3)
    assert np.allclose(what(folder), expected, atol=1e-4)
    assert max(seen) > 3 and "goes on with" in capsys.readouterr().err
    small_memory(monkeypatch, LlamaModel, 0)
    with pytest.raises(RmlabError, match="out of memory with a single text; ") as found:
        what(folder)
    assert "\n" not in str(found.value)


def test_a_reward_without_memory_for_one_text_ends_its_stage(cli, tmp_path, monkeypatch):
    """Not a failed row: every other row would fail the same way."""
    from transformers import LlamaModel

    folder = write_classifier(tmp_path / "c")
    args = (*SMALL, "sft=none", f"out={tmp_path / 'o'}", f"golden.classifier.model={folder}")
    args = (*args, "golden=classifier")
    assert cli("sample", *args).code == 0
    small_memory(monkeypatch, LlamaModel, 0)
    result = cli("annotate", *args)
    assert result.code == 1 and "lower the golden reward's max_tokens" in result.line
    assert not list((tmp_path / "o" / "annotate").glob("*/part-*"))


# --- tokenizers and classifiers


def drop_pad(folder, target):
    shutil.copytree(folder, target)
    file = target / "tokenizer_config.json"
    config = json.loads(file.read_text())
    config.pop("pad_token")
    file.write_text(json.dumps(config))
    for name in ("config.json", "generation_config.json"):
        if (target / name).is_file():
            config = json.loads((target / name).read_text())
            config.pop("pad_token_id", None)
            (target / name).write_text(json.dumps(config))
    return target


def sampled(folder):
    session = TransformersSampler().open(folder, "chat", Compute())
    tasks = []
    for i, text in enumerate(["Hi", "A rather longer prompt", ""]):
        messages = [{"role": "user", "content": text}]
        tasks.append(SamplingTask(f"p{i}", messages, session.encode(messages), 4))
    params = Sampling(n_train=4, n_test=4, temperature=1, top_p=1, max_new_tokens=20, stop=[],
                      max_prompt_tokens=None, long_prompts="cut")  # fmt: skip
    return session.generate(tasks, params, 0, lambda n: None)


def test_without_a_pad_token_samples_are_the_same(tmp_path):
    folder = write_ending(tmp_path / "m", 3.0)
    other = drop_pad(folder, tmp_path / "n")
    assert Compute().load_tokenizer(other).pad_token == "<eos>"
    assert [[(s.text, s.finish_reason) for s in x] for x in sampled(folder)] == [
        [(s.text, s.finish_reason) for s in x] for x in sampled(other)
    ]


@pytest.mark.parametrize("what", [judged, classified, embedded])
def test_without_a_pad_token_results_are_the_same(what, tmp_path):
    folder = tmp_path / "m"
    write_classifier(folder) if what is classified else write_random_model(folder, initializer_range=0.5)
    found = what(drop_pad(folder, tmp_path / "n"))
    assert np.allclose(found, what(folder), atol=1e-6) and np.ptp(found) > 1e-4


def test_a_classifier_with_two_labels_is_one_line(cli, tmp_path):
    folder = write_classifier(tmp_path / "c", labels=2)
    args = ("golden=classifier", f"golden.classifier.model={folder}")
    result = cli("run", *SMALL, "sft=none", *args, f"out={tmp_path / 'o'}")
    assert result.code == 3 and "has 2 labels; a reward model has one" in result.line
    assert not list((tmp_path / "o" / "annotate").glob("*/part-*"))


# --- damaged weights


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Settings and artifacts with a trained model and an adapter, each of a model in a folder."""
    from rmlab.pipeline.plan import load_arms, plan
    from rmlab.pipeline.run import run_nodes

    root = tmp_path_factory.mktemp("trained")
    write_random_model(root / "base", seed=1)
    for output in ("merged", "adapter"):
        nodes = plan(load_arms([*settings(root, output), f"out={root / output}"]))
        run_nodes([n for n in nodes if n.stage in ("prompts", "sft")], "test", quiet=True)
    return root


def settings(root, output):
    return (*SMALL, *REAL, f"model={root / 'base'}", "sft=lora", f"sft.output={output}")


@pytest.fixture
def policy(trained, tmp_path):
    """(settings, model folder) of an SFT output that may be harmed."""
    shutil.copytree(trained / "base", tmp_path / "kept")

    def copy(output):
        shutil.copytree(trained / output, tmp_path / output)
        return (*settings(trained, output), f"out={tmp_path / output}"), stage(tmp_path / output, "sft")

    yield copy
    shutil.rmtree(trained / "base")
    shutil.copytree(tmp_path / "kept", trained / "base")


@pytest.mark.parametrize(("output", "file"), [("merged", WEIGHTS), ("adapter", "adapter_model.safetensors")])
@pytest.mark.parametrize("harm", [flip, truncate])
def test_a_damaged_policy_is_never_sampled_from(cli, policy, output, file, harm):
    args, folder = policy(output)
    harm(folder / "model" / file)
    result = cli("sample", *args)
    assert result.code == 3 and file in result.line and "rmlab verify --repair" in result.line
    assert not list((folder.parents[1] / "sample").glob("*/part-*"))
    if output == "merged" and harm is flip:
        assert cli("sft", *args, "--force").code == 0
        assert cli("sample", *args).code == 0


def test_an_adapter_whose_base_changed_since_is_one_line(policy, trained):
    _, folder = policy("adapter")
    from rmlab.stages.sample import policy_folder
    from rmlab.storage.digest import file_digest

    job = type("Job", (), {"inputs": {"sft": open_artifact(folder)}})
    assert policy_folder(job) == folder / "model"
    before = file_digest(trained / "base" / WEIGHTS)
    flip(trained / "base" / WEIGHTS)
    assert file_digest(trained / "base" / WEIGHTS) != before
    with pytest.raises(InputError, match="has changed since .* was trained on it") as found:
        policy_folder(job)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("where", [-100, 12])  # the weights' end is missing, or the header is torn
@pytest.mark.parametrize("stage_name", ["sample", "sft"])
def test_a_truncated_model_folder_is_one_line(cli, tiny_model, tmp_path, where, stage_name):
    folder = tmp_path / "m"
    shutil.copytree(tiny_model, folder)
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(
        content[:where] if where < 0 else content[:where] + b"\0" + content[where + 1 :]
    )
    sft = "none" if stage_name == "sample" else "lora"
    args = (*SMALL, *REAL, f"sft={sft}", f"model={folder}", f"out={tmp_path / 'o'}")
    if stage_name == "sft":
        assert cli("run", *args).code == 3
    result = cli(stage_name, *args)
    assert result.code == 3 and f"{folder}: cannot load the model" in result.line
    assert not list((tmp_path / "o").glob("s*/*/manifest.json"))


@pytest.mark.parametrize("what", [judged, classified, embedded])
def test_truncated_weights_of_rewards_and_embedders_are_one_line(what, tmp_path):
    folder = tmp_path / "m"
    write_classifier(folder) if what is classified else write_random_model(folder)
    truncate(folder / WEIGHTS)
    with pytest.raises(InputError, match="cannot load the model") as found:
        what(folder)
    assert "\n" not in str(found.value)


def test_a_truncated_adapter_in_a_folder_is_one_line(trained, tmp_path):
    source = stage(trained / "adapter", "sft") / "model"
    shutil.copytree(source, tmp_path / "a")
    assert Compute().load_model(AutoModelForCausalLM, tmp_path / "a") is not None
    truncate(tmp_path / "a" / "adapter_model.safetensors")
    with pytest.raises(InputError, match="cannot load the model") as found:
        Compute().load_model(AutoModelForCausalLM, tmp_path / "a")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    "name, kept", [("adapter_model", "lora_A"), (WEIGHTS.removesuffix(".safetensors"), "layers.0")]
)
def test_weights_that_lack_tensors_are_not_made_up(trained, tiny_model, tmp_path, name, kept):
    source = stage(trained / "adapter", "sft") / "model" if name == "adapter_model" else tiny_model
    shutil.copytree(source, tmp_path / "m")
    file = tmp_path / "m" / f"{name}.safetensors"
    save_file({k: v for k, v in load_file(file).items() if kept in k}, file, metadata={"format": "pt"})
    with pytest.raises(InputError, match="weights lack") as found:
        Compute().load_model(AutoModelForCausalLM, tmp_path / "m")
    assert "\n" not in str(found.value)


def test_a_language_model_is_no_reward_model(tiny_model):
    """transformers would give it a head of random numbers."""
    with pytest.raises(InputError, match="weights lack 1 of the model's tensors, such as score.weight"):
        classified(tiny_model)


@pytest.fixture
def hub(tiny_model, tmp_path, monkeypatch):
    """The hub's cache, by hand: a snapshot that links to blobs, that of the weights named by its sha256."""
    from rmlab.storage.digest import file_digest

    commit, root = "0123456789abcdef0123456789abcdef01234567", tmp_path / "hub" / "models--org--tiny"
    snapshot, blobs = root / "snapshots" / commit, root / "blobs"
    for folder in (snapshot, blobs, root / "refs"):
        folder.mkdir(parents=True)
    for file in tiny_model.iterdir():
        name = file_digest(file)[: 64 if file.name == WEIGHTS else 40]
        shutil.copy(file, blobs / name)
        (snapshot / file.name).symlink_to(f"../../blobs/{name}")
    (root / "refs" / "main").write_text(commit)
    for module in ("huggingface_hub.constants", "huggingface_hub._snapshot_download.constants"):
        monkeypatch.setattr(f"{module}.HF_HUB_CACHE", str(tmp_path / "hub"))
    return snapshot


@pytest.mark.parametrize("harm", [flip, truncate, Path.unlink])
def test_damaged_weights_from_the_hub_are_one_line(hub, harm):
    model = find_model("org/tiny")
    assert model.folder() == hub
    harm((hub / WEIGHTS).resolve())
    with pytest.raises(InputError, match=f"{WEIGHTS}: its contents differ from the checksum") as found:
        model.folder()
    command = f"hf download org/tiny --revision {hub.name} --force-download"
    assert str(found.value).endswith(command) and "\n" not in str(found.value)
    assert find_model("org/tiny").identity == model.identity


def test_an_adapter_s_damaged_base_from_the_hub_is_one_line(hub, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/tiny"}))
    (tmp_path / "a" / "adapter_model.safetensors").write_bytes(b"")
    flip((hub / WEIGHTS).resolve())
    with pytest.raises(InputError, match="hf download org/tiny --revision"):
        Compute().load_model(AutoModelForCausalLM, tmp_path / "a")


def test_small_files_from_the_hub_have_no_such_checksum(hub):
    """They are named by git's own hash, and a copy in place of a link is the user's."""
    (hub / "config.json").resolve().write_text((hub / "config.json").read_text() + "\n")
    weights = (hub / WEIGHTS).read_bytes()
    (hub / WEIGHTS).unlink()
    (hub / WEIGHTS).write_bytes(weights + b" ")
    assert find_model("org/tiny").folder() == hub


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RMLAB_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("harm", [flip, truncate, Path.unlink])
def test_a_model_in_rmlab_s_own_cache_is_made_again_when_damaged(cache, harm):
    folder = random_tiny.folder()
    good = (folder / WEIGHTS).read_bytes()
    harm(folder / WEIGHTS)
    found, good = load((random_tiny.folder() / WEIGHTS).read_bytes()), load(good)
    assert all(torch.equal(found[name], good[name]) for name in good)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_its_small_files_are_looked_at_too(cache, name):
    folder = random_tiny.folder()
    good = (folder / name).read_bytes()
    flip(folder / name)
    assert (random_tiny.folder() / name).read_bytes() == good


@pytest.mark.parametrize("record", ["", "{}", "[1]", '{"stamp": 3}'])
def test_a_torn_record_means_made_again(cache, record):
    folder = random_tiny.folder()
    (folder / FOLDER_SEAL).write_text(record)
    assert not is_as_sealed(folder)
    assert is_as_sealed(random_tiny.folder())


def test_two_at_once_make_a_model_once(tmp_path, monkeypatch):
    """The second waits for the first, and finds it whole."""
    making, second_waits, made = threading.Event(), threading.Event(), []
    flock = fcntl.flock

    def noted(lock, how):
        if how == fcntl.LOCK_EX:
            second_waits.set()
        return flock(lock, how)

    def make(target):
        made.append(target)
        making.set()
        assert second_waits.wait(30)
        save_file({"a": torch.ones(2)}, target / WEIGHTS)

    monkeypatch.setattr(fcntl, "flock", noted)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(stored.stored(tmp_path / "m", make))) for _ in range(2)
    ]
    threads[0].start()
    assert making.wait(30)
    threads[1].start()
    for thread in threads:
        thread.join(60)
    assert found == [tmp_path / "m"] * 2 and len(made) == 1 and is_as_sealed(tmp_path / "m")


def test_a_making_that_fails_leaves_nothing(tmp_path):
    def make(target):
        (target / WEIGHTS).write_bytes(b"half")
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        stored.stored(tmp_path / "m", make)
    assert not list(tmp_path.iterdir())
