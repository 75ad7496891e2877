"""A linear head and its embedding model as one sequence classifier, which other programs load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rmlab.errors import InputError, RmlabError
from rmlab.heads.fitted.linear_form import LinearForm, linear_form
from rmlab.models.compute import Compute
from rmlab.models.folder_check import told_of
from rmlab.models.text.rendering import Exchange
from rmlab.models.text.tokens import Encoded
from rmlab.models.text.whole_text import encode_whole
from rmlab.reward.chat_templates import chat_template_of
from rmlab.reward.model import RewardModel
from rmlab.storage.files import parse_json, read_plain_text, write_json

_NEW_PAD = "<|rmlab_pad|>"
# Of scores: rounding in float32, and between bfloat16 and float32, which may be some hundredths apart.
_FAR = {True: 1e-3, False: 0.1}
_TRIED = (
    ("Name a colour.", "Blue."),
    ("Name a colour.", "I would rather not, but if I must: green, the colour of the leaves in May."),
    ("What do bees do?", "They make honey."),
    ("Write a line of a poem.", "The rain has come, and gone, and come again."),
)
_WAY = "fit one with `rmlab fit-rm ... embedder=transformers embedder.pooling=end head=linear`"


@dataclass(frozen=True)
class Exported:
    """What a classifier's folder holds.

    constant: what its scores lack of the head's rewards, as a classifier has no bias; pad: the text of its
    pad token; max_tokens: of a text; difference: the largest one from the head's scores of a few texts, as
    the written folder scores them.
    """

    constant: float
    pad: str
    max_tokens: int
    dtype: str
    difference: float


def check_exportable(model: RewardModel) -> LinearForm:
    """Returns the head as one linear function; InputError where no sequence classifier scores as it does."""
    origin, form = model.origin, linear_form(model.head)
    if origin.name != "transformers":
        raise InputError(
            f"the head reads embeddings of the embedder {origin.name}, and a sequence classifier reads a "
            f"language model's last layer; {_WAY}"
        )
    pooling = origin.embedder.get("pooling")
    if pooling != "end":
        raise InputError(
            f"the head reads embeddings of pooling={pooling}, and a sequence classifier pools the end of the "
            f"text; {_WAY}"
        )
    if form is None:
        kind = getattr(model.head, "kind", type(model.head).__name__)
        raise InputError(
            f"the head is of the kind {kind} and not linear in the embedding, so no sequence classifier is "
            f"equal to it; {_WAY}, or keep it whole with --to folder"
        )
    return form


def write_classifier(model: RewardModel, folder: Path, dtype: str = "float32") -> Exported:
    """Writes model, tokenizer and chat template into an empty folder, and tries its scores on a few texts.

    dtype: of the weights; float32 or bfloat16.
    """
    form = check_exportable(model)
    origin, found = model.origin, model.find_model()
    assert found is not None
    base_folder = found.folder()
    with told_of(base_folder, "the model"):
        session: Any = model.embedder
        tokenizer = Compute().load_tokenizer(base_folder)
        network = _network(model, base_folder, dtype)
        _check_layer(origin.embedder.get("layer", -1), network.config.num_hidden_layers)
        template = chat_template_of(origin.template, tokenizer)
        pad = _set_pad(tokenizer, template, network)
        classifier = _classifier(network, form, tokenizer, dtype)
        classifier.save_pretrained(folder)
        _save_tokenizer(tokenizer, template, session.limit, folder)
    return Exported(form.constant, pad, session.limit, dtype, _difference(model, folder, form, dtype))


def _network(model: RewardModel, folder: Path, dtype: str) -> Any:
    """The embedding model on the CPU, with an adapter merged as the embedder merges it."""
    from transformers import AutoModel

    compute = Compute(dtype, "cpu", model.trust_remote_code)
    return compute.load_model(AutoModel, folder)


def _check_layer(layer: int, depth: int) -> None:
    if layer not in (-1, depth):
        raise InputError(
            f"the head reads layer {layer} of {depth}, and a sequence classifier reads the last; {_WAY} and "
            "embedder.layer=-1"
        )


def _classifier(network: Any, form: LinearForm, tokenizer: Any, dtype: str) -> Any:
    """The sequence classifier around the network, whose scoring layer is the head."""
    import torch
    from transformers import AutoModelForSequenceClassification

    config = network.config
    config.num_labels = 1
    config.problem_type = "regression"  # so that vLLM puts no sigmoid on the score
    config.pad_token_id = tokenizer.pad_token_id
    kind = type(config).__name__
    try:
        with torch.device("meta"):
            classifier = AutoModelForSequenceClassification.from_config(config)
    except ValueError:
        raise InputError(
            f"transformers has no sequence classifier for {kind}; {_WAY} on another model"
        ) from None
    old = getattr(classifier, "score", None)
    if not isinstance(old, torch.nn.Linear) or old.bias is not None or old.in_features != len(form.weight):
        raise InputError(
            f"the sequence classifier for {kind} has no scoring layer of its own without a bias, as those of "
            f"Llama, Mistral, Qwen and Gemma have; {_WAY} on such a model"
        )
    weight = torch.from_numpy(form.weight[None].astype(np.float32)).to(getattr(torch, dtype))
    classifier.score = torch.nn.Linear(len(form.weight), 1, bias=False, dtype=weight.dtype)
    classifier.score.weight = torch.nn.Parameter(weight)
    setattr(classifier, classifier.base_model_prefix, network)
    config.architectures = [type(classifier).__name__]
    config.dtype = weight.dtype
    classifier.config = config
    return classifier.train(False)


def _set_pad(tokenizer: Any, template: str, network: Any) -> str:
    """Gives the tokenizer a pad token that ends no text, as classifiers pool the last token that is no pad.

    That is one of its special tokens which its template does not write, or else a new one.
    """
    usual = {tokenizer.eos_token, tokenizer.bos_token}
    special = [t.content for t in tokenizer.added_tokens_decoder.values() if t.special]
    free = [t for t in special if t not in usual and t not in template]
    named = [t for t in free if "pad" in t.lower()]
    now = [t for t in free if t == tokenizer.pad_token]
    unknown = [t for t in free if t == tokenizer.unk_token]
    rest = [t for t in free if t != tokenizer.unk_token]
    pad = next(iter((*now, *named, *rest, *unknown)), None)
    if pad is None:
        tokenizer.add_special_tokens({"pad_token": _NEW_PAD})
        if len(tokenizer) > network.get_input_embeddings().num_embeddings:
            network.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        return _NEW_PAD
    tokenizer.pad_token = pad
    return str(pad)


def _save_tokenizer(tokenizer: Any, template: str, limit: int, folder: Path) -> None:
    """Texts that are cut lose their beginning, as with rmlab, and not the token that is pooled."""
    tokenizer.chat_template = template
    tokenizer.model_max_length = limit
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    sides = {"padding_side": "right", "truncation_side": "left"}
    write_json(file, parse_json(read_plain_text(file)) | sides)


def _difference(model: RewardModel, folder: Path, form: LinearForm, dtype: str) -> float:
    """The largest difference of the folder's scores from the head's, less the constant, on a few texts."""
    import torch
    from transformers import AutoModelForSequenceClassification

    compute = Compute(device="cpu", trust_remote_code=model.trust_remote_code)
    tokenizer = compute.load_tokenizer(folder)
    classifier = compute.load_model(AutoModelForSequenceClassification, folder)
    exchanges = [
        Exchange(f"p{k}", f"r{k}", [{"role": "user", "content": prompt}], answer)
        for k, (prompt, answer) in enumerate(_TRIED)
    ]
    limit = int(tokenizer.model_max_length)
    rows = [r.prompt + r.response for r in encode_whole(exchanges, model.origin.template, tokenizer, limit)]
    batch = tokenizer.pad({"input_ids": rows}, return_tensors="pt")
    with torch.inference_mode():
        theirs = classifier(**batch).logits[:, 0].double().numpy() + form.constant
    far = float(np.abs(theirs - model.score_tokens([Encoded(row, []) for row in rows]).score).max())
    if not far <= _FAR[dtype == model.origin.dtype == "float32"]:
        raise RmlabError(
            f"the sequence classifier scores texts {far:.3g} away from the head, whose scores have the "
            "standard deviation 1; nothing was written, keep the head whole with --to folder"
        )
    return far
