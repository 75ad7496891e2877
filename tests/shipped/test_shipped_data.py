"""The promises of data/README.md."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict

import pytest

from rmlab.data.prompts import read_demonstrations, read_prompts
from rmlab.paths import shipped, user_path

KINDS = ("openings", "questions")
MOST_SHARED = 0.25


def rows(name):
    return [json.loads(x) for x in shipped("data/" + name).read_text(encoding="utf-8").splitlines()]


def trigrams(text):
    words = re.findall(r"[a-z0-9']+", text.lower())
    return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_enough_prompts_of_each_split(kind):
    found = Counter(p.split for p in read_prompts(user_path(f"shipped:prompts/{kind}.jsonl"), 0.2))
    assert found == {"train": 460, "test": 110}


@pytest.mark.parametrize("kind", KINDS)
def test_each_prompt_is_its_own_group(kind):
    """So that the grouping of near copies leaves the splits as they are."""
    found = read_prompts(user_path(f"shipped:prompts/{kind}.jsonl"), 0.2)
    assert [p.group for p in found] == [p.prompt_id for p in found]


@pytest.mark.parametrize("kind", KINDS)
def test_prompts_vary_in_length_form_and_subject(kind):
    data = rows(f"prompts/{kind}.jsonl")
    lengths = [len(r["prompt"].split()) for r in data]
    for low, high in ((1, 12), (13, 25), (26, 90)):
        assert sum(low <= n <= high for n in lengths) > 0.25 * len(data)
    assert len({r["subject"] for r in data}) >= 50
    assert len({r["form"] for r in data}) >= 10
    assert max(Counter(r["subject"] for r in data).values()) < 0.05 * len(data)
    assert max(Counter(" ".join(r["prompt"].lower().split()[:3]) for r in data).values()) <= 5


def test_no_near_copies_within_or_across_splits_and_files():
    texts = [r["prompt"] for kind in KINDS for r in rows(f"prompts/{kind}.jsonl")]
    texts += [r["prompt"] for kind in KINDS for r in rows(f"demonstrations/{kind}.jsonl")]
    sets = [trigrams(t) for t in texts]
    holders = defaultdict(list)
    for i, grams in enumerate(sets):
        for gram in grams:
            holders[gram].append(i)
    shared = Counter((i, j) for who in holders.values() for j in who for i in who if i < j)
    worst = max(shared, key=lambda p: shared[p] / len(sets[p[0]] | sets[p[1]]))
    i, j = worst
    share = len(sets[i] & sets[j]) / len(sets[i] | sets[j])
    assert share <= MOST_SHARED, (texts[i], texts[j])


@pytest.mark.parametrize("kind", KINDS)
def test_demonstrations_are_whole(kind):
    found = read_demonstrations(user_path(f"shipped:demonstrations/{kind}.jsonl"))
    assert len(found) == 110
    assert all(20 <= len(d.completion.split()) <= 90 for d in found)
    assert len({d.completion for d in found}) == 110
