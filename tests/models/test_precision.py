"""dtype=auto: the measurement, its cache, the comparison of a model, and what becomes of it in a plan."""

import json
import time

import pytest
import torch

from rmlab.errors import RmlabError
from rmlab.models import machine_notes, precision, product_rates
from rmlab.models.bundled import catalogue
from rmlab.models.bundled.random_tiny import write_random_model
from rmlab.models.compute import Compute
from rmlab.models.machine_notes import MachineNotes
from rmlab.models.precision import FAR, distance, resolve
from rmlab.models.product_rates import Rates, measure, rates
from rmlab.models.weights import find_model, widths_of
from rmlab.pipeline.plan import load_arms, plan

WIDE = {"hidden_size": 256, "intermediate_size": 512}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RMLAB_CACHE", str(tmp_path / "cache"))
    resolve.cache_clear()
    yield
    resolve.cache_clear()


def gains(monkeypatch, gain):
    monkeypatch.setattr(precision, "rates", lambda hidden, inner: Rates(100.0, 100.0 * gain))


def wide_model(folder, scale=1.0, **changes):
    write_random_model(folder, **WIDE, **changes)
    if scale != 1.0:
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / "model.safetensors")
        weights = {name: w * scale if "proj" in name else w for name, w in weights.items()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return find_model(str(folder))


@pytest.mark.parametrize(("gain", "expected"), [(4.0, "bfloat16"), (1.1, "float32"), (0.12, "float32")])
def test_the_faster_precision_is_taken_beyond_noise(gain, expected, tmp_path, monkeypatch):
    gains(monkeypatch, gain)
    assert resolve("cpu", wide_model(tmp_path / "model")) == expected
    assert resolve("auto", find_model("smollm2-135m-q4")) == expected


def test_a_narrow_model_computes_in_float32_without_a_measurement(monkeypatch):
    monkeypatch.setattr(precision, "rates", lambda *_: pytest.fail("measured"))
    assert resolve("cpu", find_model("random-tiny")) == "float32"


def test_a_model_that_loses_accuracy_computes_in_float32_and_says_so(tmp_path, monkeypatch, capsys):
    gains(monkeypatch, 4.0)
    model = wide_model(tmp_path / "model", scale=20.0, num_hidden_layers=12)
    assert resolve("cpu", model) == "float32"
    said = capsys.readouterr().err
    assert "differ from those in float32 by" in said and "so dtype=auto is float32" in said
    assert distance(model, "cpu") > FAR


def test_weights_beyond_the_range_of_bfloat16_are_told(tmp_path, monkeypatch, capsys):
    from safetensors.torch import load_file, save_file

    gains(monkeypatch, 4.0)
    write_random_model(tmp_path / "model", **WIDE)
    file = tmp_path / "model" / "model.safetensors"
    weights = load_file(file)
    weights["model.norm.weight"][0] = torch.finfo(torch.float32).max  # rounds to infinity in bfloat16
    weights["model.embed_tokens.weight"][:, 0] = 0.0
    for name, weight in weights.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weight[0] = 0.0
    save_file(weights, file, metadata={"format": "pt"})
    assert resolve("cpu", find_model(str(tmp_path / "model"))) == "float32"
    assert "are not numbers" in capsys.readouterr().err


def test_the_comparison_is_made_once(tmp_path, monkeypatch):
    model = wide_model(tmp_path / "model")
    found = distance(model, "cpu")
    assert 0 < found < FAR
    monkeypatch.setattr(precision, "_states", lambda *_: pytest.fail("loaded again"))
    assert distance(model, "cpu") == found


def test_a_model_too_large_to_be_loaded_twice_is_not(tmp_path, monkeypatch):
    model = wide_model(tmp_path / "model")
    monkeypatch.setattr(precision, "memory_bytes", lambda: 1)
    assert distance(model, "cpu") is None and precision.is_accurate(model, "cpu")


def test_a_model_that_cannot_be_loaded_is_left_to_its_stage(tmp_path):
    model = wide_model(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"nothing")
    assert distance(model, "cpu") is None


@pytest.mark.parametrize("name", [name for name in catalogue.NAMES if name != "random-tiny"])
def test_bundled_models_are_as_accurate_as_is_taken_for_granted(name):
    folder = find_model(name).folder()
    expected, found = (precision._states(folder, Compute(dtype, "cpu")) for dtype in ("float32", "bfloat16"))
    assert precision._far(found, expected) < 0.05
    config = json.loads((folder / "config.json").read_text())
    assert widths_of(name) == (config["hidden_size"], config["intermediate_size"])


def test_rates_are_measured_once_and_those_of_large_models_by_smaller_products(monkeypatch):
    found = measure(256, 512)
    assert 0.1 < found.float32 < 1e5 and 0.01 < found.bfloat16 < 1e6
    measured = []
    monkeypatch.setattr(product_rates, "measure", lambda *shape: measured.append(shape) or Rates(10.0, 20.0))
    assert rates(64, 128) == rates(64, 128) == rates(8192, 28672) == Rates(10.0, 20.0)
    assert measured == [(64, 128), product_rates.LARGE]
    assert product_rates.known_rates()["64x128"] == Rates(10.0, 20.0)


def test_slow_first_runs_do_not_decide():
    """oneDNN makes its code at the first product, and a busy machine may take a processor away."""
    calls = [0]

    def starts_slowly():
        calls[0] += 1
        time.sleep(0.03 if calls[0] <= 3 else 0.001)

    found = product_rates._fastest({"float32": lambda: time.sleep(0.002), "bfloat16": starts_slowly})
    assert found["bfloat16"] < 0.02


def test_what_auto_became_is_kept(tmp_path, monkeypatch):
    """Whatever a later measurement would say, since artifacts hang on it."""
    model = wide_model(tmp_path / "model")
    for gain in (4.0, 0.1):
        gains(monkeypatch, gain)
        resolve.cache_clear()
        assert resolve("cpu", model) == "bfloat16"


def test_without_a_cache_there_are_no_notes(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RMLAB_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(product_rates, "measure", lambda *shape: Rates(10.0, 80.0))
    assert rates(64, 128) == Rates(10.0, 80.0) and product_rates.known_rates() == {}


def test_too_little_memory_is_no_fault_of_the_model(tmp_path, monkeypatch):
    model, states = wide_model(tmp_path / "model"), precision._states

    def short(folder, compute):
        if compute.dtype == "bfloat16":
            raise RmlabError("out of memory") from torch.OutOfMemoryError()
        return states(folder, compute)

    monkeypatch.setattr(precision, "_states", short)
    assert distance(model, "cpu") is None and precision.is_accurate(model, "cpu")
    monkeypatch.setattr(precision, "_states", states)
    assert 0 < distance(model, "cpu") < FAR


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"products": 3}', '{"products": {"64x128": {"float32": "x"}}}']
)
def test_damaged_notes_are_measured_anew(text, monkeypatch):
    monkeypatch.setattr(product_rates, "measure", lambda *shape: Rates(10.0, 20.0))
    file = MachineNotes.here().file
    file.write_text(text)
    assert rates(64, 128) == Rates(10.0, 20.0)
    assert json.loads(file.read_text())["products"]["64x128"]["bfloat16"] == 20.0


def test_another_machine_has_notes_of_its_own(monkeypatch):
    monkeypatch.setattr(product_rates, "measure", lambda *shape: Rates(10.0, 80.0))
    rates(64, 128)
    monkeypatch.setattr(machine_notes, "_processor", lambda: ("another processor", set()))
    assert product_rates.known_rates() == {}


def test_a_cache_that_cannot_be_written_only_costs_time(monkeypatch):
    monkeypatch.setattr(product_rates, "measure", lambda *shape: Rates(10.0, 80.0))
    monkeypatch.setattr(machine_notes, "write_json", lambda *_: (_ for _ in ()).throw(OSError("full")))
    assert rates(64, 128) == rates(64, 128)


def nodes(tmp_path, *overrides):
    model = str(tmp_path / "model")
    found = plan(load_arms([f"model={model}", f"out={tmp_path}", "embedder.pooling=last", *overrides]))
    return {node.stage: node for node in found}


def test_a_plan_keeps_what_auto_became_and_naming_it_finds_the_same(tmp_path, monkeypatch):
    gains(monkeypatch, 4.0)
    wide_model(tmp_path / "model")
    auto = nodes(tmp_path)
    for stage in ("sample", "embed"):
        assert auto[stage].config["dtype"] == auto[stage].settings.dtype == "bfloat16"
    assert auto["prompts"].settings.dtype == "auto"
    named, other = nodes(tmp_path, "dtype=bfloat16"), nodes(tmp_path, "dtype=float32")
    for stage, node in auto.items():
        assert named[stage].fingerprint == node.fingerprint
    assert other["sample"].fingerprint != auto["sample"].fingerprint


def test_a_stage_without_a_model_has_float32_on_every_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "rates", lambda *_: pytest.fail("measured"))
    found = [n for n in plan(load_arms(["experiment=smoke", f"out={tmp_path}"])) if "dtype" in n.config]
    assert {node.stage for node in found} == {"sft", "sample", "embed"}
    assert {node.config["dtype"] for node in found} == {"float32"}
