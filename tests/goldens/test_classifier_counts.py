"""A sequence classifier says how many texts it cut, and annotate keeps the count."""

import pytest
from small_settings import SMALL
from test_goldens import EXCHANGES, write_classifier

from rmlab.goldens.base import TextScorer
from rmlab.goldens.sequence_classifier import SequenceClassifier
from rmlab.models.compute import Compute
from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.run import run_nodes
from rmlab.stages.annotate import score_rows


def test_cut_texts_are_counted_until_taken(tmp_path):
    folder = write_classifier(tmp_path / "c", pad_is_eos=False)
    whole = SequenceClassifier(str(folder), template="plain").open(Compute())
    short = SequenceClassifier(str(folder), template="plain", max_tokens=4).open(Compute())
    assert isinstance(short, TextScorer) and short.template_hash == whole.template_hash
    assert whole(EXCHANGES) != short(EXCHANGES)
    assert whole.counts["truncated"] == 0 and 0 < short.counts["truncated"] <= len(EXCHANGES)


def test_texts_of_a_batch_that_fails_are_counted_once(tmp_path, monkeypatch):
    folder = write_classifier(tmp_path / "c", pad_is_eos=False)
    scorer = SequenceClassifier(str(folder), template="plain", max_tokens=4).open(Compute())
    scorer(EXCHANGES)
    once, score = scorer.counts.pop("truncated"), scorer.reader.score

    def fails_on_many(rows):
        if len(rows) > 1:
            raise ValueError("odd text")
        return score(rows)

    monkeypatch.setattr(scorer.reader, "score", fails_on_many)
    assert all(isinstance(s, float) for s in score_rows(scorer, EXCHANGES, "classifier"))
    assert scorer.counts["truncated"] == once > 0


@pytest.mark.slow
def test_annotate_keeps_the_count_and_warns(tmp_path):
    folder = write_classifier(tmp_path / "c", pad_is_eos=False)
    overrides = [
        *SMALL, f"out={tmp_path / 'artifacts'}", "golden=classifier", f"golden.classifier.model={folder}",
        "golden.classifier.template=plain", "golden.classifier.max_tokens=6",
    ]  # fmt: skip
    nodes = [n for n in plan(load_arms(overrides)) if n.stage in ("prompts", "sft", "sample", "annotate")]
    made = run_nodes(nodes, "test", quiet=True)[-1].artifact.manifest
    assert 0 < made.counts["truncated"] <= made.rows
    assert any("were cut" in w for w in made.warnings) and made.metrics["template_hash"]
