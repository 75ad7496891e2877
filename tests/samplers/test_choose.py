import numpy as np
import pytest
import torch
from transformers import TemperatureLogitsWarper, TopPLogitsWarper

from rmlab.samplers.choose import choose


def reference(logits, temperature, top_p):
    """The distribution that transformers' own warpers give."""
    warped = TemperatureLogitsWarper(temperature)(None, logits.clone())
    if top_p < 1:
        warped = TopPLogitsWarper(top_p)(None, warped)
    return torch.softmax(warped.double(), dim=-1)[0].numpy()


def drawn(logits, temperature, top_p, n):
    """Frequencies under n evenly spaced uniforms: the exact distribution to within 1/n."""
    uniform = (torch.arange(n, dtype=torch.double) + 0.5) / n
    tokens, _ = choose(logits.expand(n, -1), uniform, temperature, top_p)
    return np.bincount(tokens.numpy(), minlength=logits.shape[-1]) / n


@pytest.mark.parametrize("top_p", [1.0, 0.95, 0.5, 0.01])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.7])
@pytest.mark.parametrize("size", [50, 3000])
def test_the_distribution_is_that_of_transformers(top_p, temperature, size):
    logits = torch.randn(1, size, generator=torch.Generator().manual_seed(0)) * 2
    n = 4000
    found = drawn(logits, temperature, top_p, n)
    assert np.abs(found - reference(logits, temperature, top_p)).max() <= 2 / n


def test_a_flat_distribution_needs_the_whole_vocabulary():
    logits = torch.zeros(1, 9000)
    found = drawn(logits, 1.0, 0.95, 450)
    assert (found > 0).sum() == 450 and (np.abs(found[found > 0] - 1 / 450) < 1e-12).all()


def test_narrow_and_wide_rows_stand_together():
    logits = torch.zeros(3, 5000)
    logits[1, 7] = 50.0
    tokens, _ = choose(logits, torch.tensor([0.0, 0.9, 0.999], dtype=torch.double), 1.0, 0.9)
    assert tokens[1] == 7 and 0 <= tokens[2] < 5000 and tokens[0] != tokens[2]


def test_the_ends_of_the_unit_interval_are_tokens():
    logits = torch.randn(2, 300, generator=torch.Generator().manual_seed(1))
    for top_p in (1.0, 0.9):
        tokens, _ = choose(logits, torch.tensor([0.0, 1 - 2**-53], dtype=torch.double), 1.0, top_p)
        assert ((tokens >= 0) & (tokens < 300)).all()


def test_temperature_zero_is_greedy():
    logits = torch.randn(4, 30, generator=torch.Generator().manual_seed(2))
    assert torch.equal(choose(logits, torch.rand(4), 0, 0.5)[0], logits.argmax(dim=-1))


@pytest.mark.parametrize("top_p", [0.9, 1.0])
def test_what_rounding_turns_was_a_near_tie(top_p):
    """Logits moved by as much as other batches move them: every token that changes was counted."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(4000, 600, generator=generator) * 2
    uniform = torch.rand(4000, generator=generator, dtype=torch.double)
    moved = logits + (torch.rand(logits.shape, generator=generator) - 0.5) * 4e-5
    tokens, close = choose(logits, uniform, 1.0, top_p)
    changed = choose(moved, uniform, 1.0, top_p)[0] != tokens
    assert changed.any() and not (changed & ~close).any()
    assert close.float().mean() < 0.2


def test_near_ties_of_known_cases():
    logits = torch.tensor([[0.0, 0.0, -15.0], [3.0, 0.0, -15.0]])
    half = torch.full((2,), 0.3, dtype=torch.double)
    assert choose(logits, half, 1.0, 0.99)[1].tolist() == [True, False]
    assert choose(logits, half, 0, 0.99)[1].tolist() == [True, False]
    at_border = torch.tensor([0.5, float(torch.softmax(logits[1], 0)[0])], dtype=torch.double)
    assert choose(logits, at_border, 1.0, 1.0)[1].tolist() == [True, True]
