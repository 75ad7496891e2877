import numpy as np
import pytest
import torch
from scipy import stats
from transformers import TemperatureLogitsWarper, TopPLogitsWarper

from rmlab.samplers.token_choice import _outside, _Vocabulary, _winner, choose, gumbel, sample_key, step_keys


def reference(logits, temperature, top_p):
    """The distribution that transformers' own warpers give."""
    warped = TemperatureLogitsWarper(temperature)(None, logits.clone())
    if top_p < 1:
        warped = TopPLogitsWarper(top_p)(None, warped)
    return torch.softmax(warped.double(), dim=-1)[0].numpy()


def keys(n, seed=0):
    return torch.randint(-(2**62), 2**62, (n,), generator=torch.Generator().manual_seed(seed))


def drawn(logits, temperature, top_p, n):
    """How often each token is drawn in n draws."""
    counts = np.zeros(logits.shape[-1], dtype=int)
    for start in range(0, n, 2000):
        tokens, _, _ = choose(logits.expand(2000, -1), keys(2000, start), temperature, top_p)
        counts += np.bincount(tokens.numpy(), minlength=logits.shape[-1])
    return counts


@pytest.mark.parametrize("top_p", [1.0, 0.95, 0.5, 0.01])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.7])
@pytest.mark.parametrize("size", [50, 1500])
def test_the_distribution_is_that_of_transformers(top_p, temperature, size):
    logits = torch.randn(1, size, generator=torch.Generator().manual_seed(0)) * 2
    n = 6_000 if top_p > 0.1 else 2_000  # the smaller, the longer it takes
    expected, found = reference(logits, temperature, top_p) * n, drawn(logits, temperature, top_p, n)
    assert (found[expected == 0] == 0).all() and found.sum() == n
    often = expected >= 5
    rest = [expected[~often].sum()] if expected[~often].sum() > 0 else []
    expected = np.array([*expected[often], *rest])
    found = np.array([*found[often], *([n - found[often].sum()] if rest else [])])
    if len(expected) > 1:
        assert stats.chisquare(found, expected).pvalue > 1e-4


def test_a_flat_distribution_needs_the_whole_vocabulary():
    found = drawn(torch.zeros(1, 9000), 1.0, 0.95, 20_000)
    assert (found > 0).sum() > 0.85 * 0.95 * 9000 and found[found > 0].max() < 15
    assert (found == 0).sum() >= 0.05 * 9000 - 2


def test_narrow_and_wide_rows_stand_together_and_apart():
    logits = torch.zeros(3, 5000)
    logits[1, 7] = 50.0
    together, _, _ = choose(logits, keys(3), 1.0, 0.9)
    assert together[1] == 7 and together[0] != together[2]
    alone = [choose(logits[k : k + 1], keys(3)[k : k + 1], 1.0, 0.9)[0].item() for k in range(3)]
    assert together.tolist() == alone


def test_temperature_zero_is_greedy():
    logits = torch.randn(4, 30, generator=torch.Generator().manual_seed(2))
    assert torch.equal(choose(logits, keys(4), 0, 0.5)[0], logits.argmax(dim=-1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("temperature", [0, 0.7, 1.0])
def test_log_probabilities_are_those_at_temperature_one(temperature, dtype):
    logits = (torch.randn(50, 777, generator=torch.Generator().manual_seed(4)) * 3).to(dtype)
    found = choose(logits, keys(50), temperature, 0.9)
    expected = logits.double().log_softmax(dim=-1).gather(1, found.tokens[:, None]).squeeze(1)
    assert torch.allclose(found.logprobs.double(), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [200, 256, 1000])
def test_the_mass_of_likelier_tokens_is_that_of_a_sort(size, dtype):
    """In bfloat16 many logits are equal, and equal ones count in order of id."""
    logits = (torch.randn(60, size, generator=torch.Generator().manual_seed(5)) * 3).to(dtype)
    mass = logits.softmax(dim=-1, dtype=torch.float32)
    order = logits.float().sort(dim=-1, descending=True, stable=True).indices
    before = mass.gather(1, order).double().cumsum(dim=-1) - mass.gather(1, order)
    for top_p in (0.3, 0.9):
        eligible = torch.zeros_like(before, dtype=torch.bool).scatter(1, order, before < top_p)
        tokens = torch.arange(60) * 3
        outside, _ = _outside(_Vocabulary.of(logits), tokens, top_p, torch.full((60,), 1e-4))
        sure = (before.scatter(1, order, before).gather(1, tokens[:, None])[:, 0] - top_p).abs() > 1e-5
        assert torch.equal(outside[sure], ~eligible[torch.arange(60), tokens][sure])


def test_noise_is_gumbel_and_independent_of_its_neighbours():
    noise = gumbel(keys(300), torch.arange(1000).expand(300, -1)).numpy()
    assert np.isfinite(noise).all()
    assert stats.kstest(noise.ravel(), "gumbel_r").pvalue > 1e-3
    for other in (np.roll(noise, 1, axis=1), np.roll(noise, 1, axis=0)):
        assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.01


def test_noise_goes_by_sample_step_and_token():
    key = torch.tensor(
        [sample_key(0, "p", 0), sample_key(0, "p", 1), sample_key(1, "p", 0), sample_key(0, "q", 0)]
    )
    assert len(key.unique()) == 4
    steps = torch.stack([step_keys(key, step) for step in range(50)])
    assert len(steps.unique()) == 200
    ids = torch.tensor([[5, 9, 2]]).expand(4, -1)
    assert torch.equal(gumbel(key, ids)[:, 1], gumbel(key, torch.full((4, 1), 9))[:, 0])
    assert (gumbel(key[:1], torch.tensor([[3]])) - 0.0).item() == gumbel(key, torch.full((4, 1), 3))[
        0, 0
    ].item()


@pytest.mark.parametrize("temperature", [0.5, 1.0])
@pytest.mark.parametrize("top_p", [0.5, 0.9, 1.0])
def test_what_rounding_turns_was_a_near_tie(top_p, temperature):
    """Logits moved by as much as other batches move them: every token that changes was counted."""
    generator = torch.Generator().manual_seed(3)
    changed = 0
    for part in range(12):
        logits = torch.randn(5000, 300, generator=generator) * 2
        tokens, _, near = choose(logits, keys(5000, part), temperature, top_p)
        moved = logits + (torch.randint(2, logits.shape, generator=generator) - 0.5) * 8e-5
        other = choose(moved, keys(5000, part), temperature, top_p)[0] != tokens
        changed += int(other.sum())
        assert not (other & ~near).any()
        assert near.float().mean() < 2e-3
    assert changed > 0 or top_p == 0.5  # few tokens are kept: hardly anything turns


def test_near_ties_of_known_cases():
    logits = torch.tensor([[0.0, 0.0, -15.0], [3.0, 0.0, -15.0]])
    near = [choose(logits, keys(2, seed), 0, 0.99).near.tolist() for seed in range(3)]
    assert near == [[True, False]] * 3
    half = torch.tensor([[0.0, 0.0, -40.0]])  # up to .5 one of the equals is kept, and rounding says which
    found = [choose(half.expand(200, -1), keys(200), 1.0, top_p) for top_p in (0.5, 0.51, 0.49)]
    assert [bool(near.float().mean() > 0.9) for _, _, near in found] == [True, False, True]
    assert found[0][0].tolist() == [0] * 200 and set(found[1][0].tolist()) == {0, 1}


def test_a_race_is_near_where_two_come_in_together():
    ids = torch.arange(2)[None]
    noise = gumbel(keys(1), ids)[0]
    level = torch.tensor([[0.0, float(noise[0] - noise[1])]])
    assert _winner(level, ids, keys(1), 1e-4)[1].tolist() == [True]
    winner, near = _winner(level + torch.tensor([0.0, 0.01]), ids, keys(1), 1e-4)
    assert winner.tolist() == [1] and near.tolist() == [False]


def test_a_last_block_that_is_not_full_is_drawn_like_the_others():
    logits = torch.full((1, 600), -30.0)
    logits[0, [3, 300, 599]] = torch.tensor([0.0, 1.0, 2.0])
    expected = torch.softmax(torch.tensor([0.0, 1.0, 2.0]), dim=0).numpy() * 9000
    found = drawn(logits, 1.0, 1.0, 10_000)[[3, 300, 599]] * 0.9
    assert stats.chisquare(found / found.sum() * 9000, expected).pvalue > 1e-4


def test_logits_that_are_no_numbers_end_the_draw():
    tokens, _, _ = choose(torch.full((2, 600), torch.nan), keys(2), 1.0, 0.9)
    assert ((tokens >= 0) & (tokens < 600)).all()


def test_neighbours_in_bfloat16_are_near_ties():
    """Between 16 and 32 they are an eighth apart; in float32 such a difference is none that rounding makes."""
    logits = torch.tensor([[20.0, 19.875, 1.0]])
    assert choose(logits.bfloat16(), keys(1), 0, 1.0).near.tolist() == [True]
    assert choose(logits, keys(1), 0, 1.0).near.tolist() == [False]
