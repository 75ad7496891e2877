import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, LlamaConfig
from transformers import LlamaForSequenceClassification as Classifier

from rmlab.data.prompts import content_id
from rmlab.errors import InputError
from rmlab.goldens.file import FileGolden
from rmlab.goldens.form import Length
from rmlab.goldens.sequence_classifier import SequenceClassifier
from rmlab.goldens.words import Sentiment
from rmlab.models.bundled.random_tiny import byte_tokenizer
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange

TEXTS = ["I love this!", "It is a terrible, sad day.", "The table has four legs.", "ok"]
EXCHANGES = [
    Exchange("p", f"r{i}", [{"role": "user", "content": "How was it?"}], t) for i, t in enumerate(TEXTS)
]


def write_classifier(folder, labels=1, pad_is_eos=False):
    tokenizer = byte_tokenizer()
    if pad_is_eos:
        tokenizer.pad_token = tokenizer.eos_token
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, num_labels=labels,
            pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
        Classifier(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_sentiment_is_vader_s_compound_score_of_the_response():
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    found = Sentiment().open(Compute())(EXCHANGES)
    assert found == [SentimentIntensityAnalyzer().polarity_scores(t)["compound"] for t in TEXTS]
    assert found[0] > 0.5 > -0.5 > found[1]


def test_length_counts_words():
    assert list(Length().open(Compute())(EXCHANGES)) == [3, 6, 5, 1]


@pytest.mark.parametrize("pad_is_eos", [False, True])
def test_a_classifier_scores_as_alone_and_unpadded(tmp_path, pad_is_eos):
    folder = write_classifier(tmp_path / "c", pad_is_eos=pad_is_eos)
    ends = [*EXCHANGES, Exchange("p", "end", EXCHANGES[0].messages, "ends so<eos>")]
    found = SequenceClassifier(str(folder), template="hh", batch_tokens=60).open(Compute())(ends)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for score, e in zip(found, ends, strict=True):
        text = f"\n\nHuman: How was it?\n\nAssistant: {e.response}"
        ids = torch.tensor(
            [tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]]
        )
        with torch.no_grad():
            expected = model.score(model.model(ids).last_hidden_state[:, -1]).item()
        assert score == pytest.approx(expected, abs=1e-5)
    assert len(set(np.round(found, 6))) == len(found)


def test_two_labels_are_refused(tmp_path):
    folder = write_classifier(tmp_path / "c", labels=2)
    with pytest.raises(InputError, match="has 2 labels; a reward model has one"):
        SequenceClassifier(str(folder)).open(Compute())


def test_scores_from_a_file_join_by_id_or_by_text(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("response_id,score\nr0,1\nr1,2.5\nr2,-3\nr3,4\n")
    assert FileGolden(str(path)).open(Compute())(EXCHANGES) == [1, 2.5, -3, 4]
    rows = "".join(f'How was it?,"{t}",{i}\n' for i, t in enumerate(TEXTS))
    path.write_text("prompt,response,points\n" + rows)
    named = [Exchange(content_id(e.messages), e.response_id, e.messages, e.response) for e in EXCHANGES]
    assert FileGolden(str(path), "points").open(Compute())(named) == [0, 1, 2, 3]
    assert FileGolden(str(path), "points").open(Compute())(EXCHANGES) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("response_id,score\nr0,1\n", "no score for response r1"),
        ("response_id,score\nr0,good\n", "row 1: 'score' is 'good', not a number"),
        ("response_id,points\nr0,1\n", "no 'score'; name the score's column"),
        ("prompt,score\na,1\n", "row 1: no 'response'"),
    ],
)
def test_a_bad_file_of_scores_is_one_line(tmp_path, text, message):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        FileGolden(str(tmp_path / "s.csv")).open(Compute())(EXCHANGES)
