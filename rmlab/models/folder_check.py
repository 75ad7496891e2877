"""Checks a model's folder: its files must be its own, and what was loaded must work as models do.

A folder may be a stranger's. Its files are its own: no link leads out of it, nor does the index of a sharded
model. In a snapshot of the hub's cache files are links to blobs beside the snapshots, which are its own too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmlab.errors import InputError, RmlabError
from rmlab.storage.files import parse_json, read_plain_text
from rmlab.storage.untrusted_bounds import first_line

_INDEX, _CONFIG = "*.safetensors.index.json", "config.json"
_MOST = {"layer": 1000, "expert": 10_000}  # of what a configuration's name says, beyond which none is built


def check_files(folder: Path) -> None:
    """InputError where a file of the folder is a pipe or leads out of it, or its index names such a file."""
    own = folder.resolve()
    allowed = [own, *(p.parents[1] / "blobs" for p in (own, *own.parents) if _is_snapshot(p))]
    for file in sorted(folder.iterdir()):
        if file.is_symlink() and not any(file.resolve().is_relative_to(place) for place in allowed):
            raise InputError(f"{file} is a link out of its folder; put the file itself there")
        if file.exists() and not (file.is_file() or file.is_dir()):
            raise InputError(f"{file} is no plain file; take it away, or save the model again")
    for index in sorted(folder.glob(_INDEX)):
        _check_index(index)
    if (folder / _CONFIG).is_file():
        _check_counts(folder / _CONFIG)


def _is_snapshot(folder: Path) -> bool:
    """Tells a snapshot of the hub's cache, models--OWNER--NAME/snapshots/COMMIT, by its place."""
    return folder.parent.name == "snapshots" and folder.parents[1].name.startswith("models--")


def _check_index(index: Path) -> None:
    try:
        names = parse_json(read_plain_text(index))["weight_map"].values()
        odd = [name for name in names if not isinstance(name, str) or not name or Path(name).name != name]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{index} cannot be read ({type(error).__name__}); save the model again with save_pretrained"
        ) from None
    if odd:
        raise InputError(
            f"{index} names {odd[0]!r}, which is no file of its folder; put its weights there, beside it"
        )


def _check_counts(file: Path) -> None:
    """Refuses numbers of parts that would be built one by one for hours, before the weights are looked at."""
    try:
        waiting = [parse_json(read_plain_text(file))]
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({first_line(error)}); save the model again") from None
    while waiting:
        found = waiting.pop()
        for name, value in found.items() if isinstance(found, dict) else ():
            most = next((n for word, n in _MOST.items() if word in name), None)
            if most and isinstance(value, int) and value > most:
                raise InputError(f"{file}: {name} is {value:,}, and no model has more than {most:,}")
            waiting.append(value)


@contextmanager
def told_of(folder: Path, what: str) -> Iterator[None]:
    """Within, a part of a model is loaded and tried: libraries raise whatever its files make them stumble
    over."""
    try:
        yield
    except RmlabError:
        raise
    except Exception as error:
        raise InputError(f"{folder}: cannot load {what} ({first_line(error)})") from error


def try_tokenizer(tokenizer: Any) -> None:
    """Tokenises a word; ValueError unless all that is known of the tokens are whole numbers from 0 on."""
    ids = [*tokenizer("a")["input_ids"], tokenizer.pad_token_id, tokenizer.eos_token_id or 0]
    if not all(isinstance(i, int) and i >= 0 for i in ids):
        raise ValueError(f"its tokens have the ids {ids}")
    tokenizer.decode(ids)


def try_model(model: Any) -> None:
    """Lets the model read some tokens, and one after them; ValueError where it makes no numbers of them.

    Little memory is no fault of the folder: whoever reads texts halves its batches, and says so.
    """
    from rmlab.models.oom_retry import is_out_of_memory

    if model.config.is_encoder_decoder:
        return
    try:
        _try_to_read(model)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise


def _try_to_read(model: Any) -> None:
    import torch

    ids = torch.tensor([[0, 1] * 4], device=model.device)
    with torch.inference_mode():
        found = model(input_ids=ids, attention_mask=torch.ones_like(ids))
        states, past = found[0], getattr(found, "past_key_values", None)
        if past is not None:
            mask = torch.ones(1, 9, dtype=torch.long, device=model.device)
            model(input_ids=ids[:, :1], attention_mask=mask, past_key_values=past)
    if (states.isnan() | (states == torch.inf)).any():
        raise ValueError("its weights are not finite numbers, or give none")


def check_fit(model: Any, tokenizer: Any) -> None:
    """ValueError where the tokenizer has tokens that the model has not. Those that were added to a vocabulary
    may lie beyond it, as a pad token often does that no model ever reads."""
    known = model.get_input_embeddings().weight.shape[0]
    added = tokenizer.get_added_vocab()
    largest = max((i for token, i in tokenizer.get_vocab().items() if token not in added), default=0)
    if largest >= known:
        raise ValueError(f"its tokenizer has a token {largest}, and the model only {known}")
