"""head.centre=prompt where heads are fitted and scored: means over all responses of a prompt."""

from __future__ import annotations

import numpy as np
import pytest
from fitting_world import Pieces, World, fit, world

from rmlab.errors import InputError, RmlabError
from rmlab.evaluation.score import score_all
from rmlab.heads.fitted.centred import CentredHead, prompt_means
from rmlab.responses.prompt_means import PromptMeans
from rmlab.responses.table import Responses


def shifted(w: World) -> World:
    """The same responses, each with an embedding moved by what is its prompt's own."""
    group = w.responses.group
    move = np.random.default_rng(5).normal(size=(group.max() + 1, w.x.shape[1])) * 3
    return World(w.responses, (w.x + move[group]).astype(np.float32), [])


def test_means_are_over_all_responses_of_the_prompts_asked_for():
    w = world(prompts=6, each=4)
    means = PromptMeans.of(w, w.responses.group, np.array([1, 9]))
    assert len(means.mean) == 2 and means.notes == []
    for row in (1, 9):
        here = w.x[w.responses.group == w.responses.group[row]]
        np.testing.assert_allclose(
            means.less(np.array([row]), w.x[[row]])[0], w.x[row] - here.mean(axis=0), atol=1e-6
        )


@pytest.mark.parametrize(
    "more",
    [["head=linear"], ["head=mlp", "head.hidden=[8]"], ["head=trees"], ["head=linear", "ensemble.members=2"]],
)
def test_a_centred_fit_is_the_fit_on_embeddings_that_were_centred_by_hand(more):
    w = shifted(world())
    group = w.responses.group
    by_hand = World(w.responses, w.x - prompt_means(w.x, group), [])
    found = fit(w, *more, "loss=classification", "head.centre=prompt").head
    plain = fit(by_hand, *more, "loss=classification").head
    assert isinstance(found, CentredHead)
    np.testing.assert_allclose(found.score(w.x, group), plain.score(by_hand.x), atol=1e-4)
    assert found.temperature == pytest.approx(plain.temperature, rel=1e-4)


@pytest.mark.parametrize("threads", [1, 3])
def test_all_are_scored_by_the_means_of_whole_prompts_however_the_blocks_are_cut(threads):
    w = shifted(world())
    group = w.responses.group
    centred = fit(w, "loss=classification", "head.centre=prompt").head
    plain = fit(w, "loss=classification").head
    wanted = group % 3 > 0
    found = score_all(
        {"a": centred, "b": plain}, Pieces(w.x), wanted, lambda rows: None, threads, group=group
    )
    np.testing.assert_allclose(found["a"].score[wanted], centred.score(w.x, group)[wanted], atol=1e-5)
    np.testing.assert_allclose(found["b"].score[wanted], plain.score(w.x)[wanted], rtol=1e-9)
    with pytest.raises(RmlabError, match="group"):
        score_all({"a": centred}, Pieces(w.x), wanted, lambda rows: None, threads)


def test_prompts_with_one_response_are_counted_and_nothing_else_is_refused():
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    w = World(Responses(np.arange(5), np.arange(5).astype(str), x[:, 0], np.array([0, 0, 1, 2, 2])), x, [])
    means = PromptMeans.of(w, w.responses.group, np.arange(5))
    assert means.notes == ["1 of 3 prompts have one response, which head.centre=prompt makes zero"]
    assert not means.less(np.array([2]), x[[2]]).any()
    with pytest.raises(InputError, match=r"head\.centre=none"):
        PromptMeans.of(w, np.arange(5), np.arange(5)).check_fit()


def test_to_score_prompts_with_one_response_each_is_no_error():
    """As in a fold, or in a part of a large set, that has no others."""
    w = shifted(world())
    centred = fit(w, "loss=classification", "head.centre=prompt").head
    wanted = np.ones(len(w.x), dtype=bool)
    found = score_all({"a": centred}, Pieces(w.x), wanted, lambda rows: None, group=np.arange(len(w.x)))
    assert (found["a"].raw == centred.head.raw(np.zeros((1, w.x.shape[1]), np.float32))).all()
