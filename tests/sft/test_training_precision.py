"""What a training computes in, by what is asked for and by device."""

from __future__ import annotations

import pytest
import torch

from rmlab.errors import InputError
from rmlab.sft.task import training_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("precision", "dtype", "device", "expected"),
    [
        ("auto", "float32", CPU, "float32"),
        ("auto", "float32", GPU, "float32"),
        ("auto", "bfloat16", CPU, "float32"),
        ("auto", "bfloat16", GPU, "bfloat16"),
        ("bfloat16", "float32", CPU, "bfloat16"),
        ("bfloat16", "float16", GPU, "bfloat16"),
        ("float32", "bfloat16", GPU, "float32"),
    ],
)
def test_auto_follows_the_dtype_where_a_gpu_has_it(monkeypatch, precision, dtype, device, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert training_precision(precision, dtype, device) == expected


def test_a_gpu_without_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert training_precision("auto", "bfloat16", GPU) == "float32"
    with pytest.raises(InputError, match="set sft.precision=float32"):
        training_precision("bfloat16", "bfloat16", GPU)
