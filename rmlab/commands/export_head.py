"""rmlab export --head: a fitted head as a folder that other programs load, or that holds all it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rmlab.errors import ConfigError
from rmlab.hub.card import LIBRARY, head_card
from rmlab.hub.measured import metrics_of
from rmlab.models.compute import check_device
from rmlab.paths import home_path, without_folders
from rmlab.reward.classifier import Exported, check_exportable, write_classifier
from rmlab.reward.folder import new_folder
from rmlab.reward.model import RewardModel
from rmlab.reward.portable import write_portable
from rmlab.storage.files import plain, write_json, write_text
from rmlab.storage.integrity import seal_folder
from rmlab.terminal import say, say_json

RECORD = "rmlab_export.json"
_USE = {
    "transformers": """from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({folder!r})
model = AutoModelForSequenceClassification.from_pretrained({folder!r})
talk = [{{"role": "user", "content": "Hello"}}, {{"role": "assistant", "content": "Hi!"}}]
ids = tokenizer.apply_chat_template(talk, return_tensors="pt", return_dict=True)
print(model(**ids).logits[0, 0].item())""",
    "folder": """from rmlab import RewardModel

model = RewardModel.load({folder!r})
print(model.score(["Hello"], ["Hi!"]))""",
}


@dataclass(frozen=True)
class HeadExport:
    """head: the artifact or folder of a fitted head; dtype: of the weights of a classifier; others: as in
    `rmlab score`."""

    to: Literal["transformers", "folder"]
    head: Path | None
    dtype: str
    licence: str
    device: str
    base_model: str | None
    allow_modules: Sequence[str]
    trust_remote_code: bool


def export_head_command(out: Path, how: HeadExport, as_json: bool) -> None:
    if how.head is None:
        raise ConfigError(f"--to {how.to} writes a head; name it with --head artifacts/fit_rm/NAME")
    check_device(how.device)
    model = RewardModel.load(
        how.head,
        device=how.device,
        base_model=how.base_model,
        allow_modules=how.allow_modules,
        trust_remote_code=how.trust_remote_code,
    )
    if how.to == "transformers":
        check_exportable(model)
    model.find_model()
    out = home_path(str(out))
    with new_folder(out) as made:
        if how.to == "folder":
            write_portable(model, made)
            done = None
        else:
            done = write_classifier(model, made, how.dtype)
            write_json(made / RECORD, _record(model, done))
        write_text(made / "README.md", _card(out.name, model, how, done))
        if done:
            seal_folder(made)
    _tell(out, how, done, as_json)


def _card(name: str, model: RewardModel, how: HeadExport, done: Exported | None) -> str:
    """The model card; of a classifier with what it lacks of the head."""
    more = {}
    if done:
        more = {
            "Constant that its scores lack": f"{done.constant:+.6g}",
            "Largest length": f"{done.max_tokens:,} tokens; longer texts must be cut or refused",
            "Pad token": done.pad,
            "Precision of the weights": done.dtype,
            "Largest difference from the head's scores": f"{done.difference:.1e}, of a few texts",
        }
    return head_card(
        model.facts,
        model.origin,
        model.head,
        name,
        how.licence,
        use=_USE[how.to].format(folder=name),
        metrics=metrics_of(Path(model.place)),
        more=more,
        library="transformers" if done else LIBRARY,
    )


def _record(model: RewardModel, done: Exported) -> dict[str, Any]:
    """What the folder was made of, without folders of this machine."""
    record = {"format": 1, "exported": asdict(done), "origin": model.origin.to_json(), "facts": model.facts}
    return dict(without_folders(record))


def _tell(out: Path, how: HeadExport, done: Exported | None, as_json: bool) -> None:
    if as_json:
        say_json(plain({"path": str(out), "to": how.to} | (asdict(done) if done else {})))
        return
    if done is None:
        say(f"{out}: the head with all that it needs")
    else:
        say(
            f"{out}: a sequence classifier in {done.dtype}; its scores of a few texts are within "
            f"{done.difference:.1e} of the head's less the constant {done.constant:+.4f}, which a classifier "
            "has no place for",
            f"texts of more than {done.max_tokens:,} tokens must be refused or cut before they reach it; its "
            f"pad token is {done.pad}",
        )
    say("use it:", *("  " + line for line in _USE[how.to].format(folder=str(out)).splitlines()))
