"""The stage prompts imports a user's file as the table of prompts."""

from __future__ import annotations

import pyarrow as pa

from rmlab.data.forms.items import chosen_prompts
from rmlab.data.prompts import Prompt, text_id
from rmlab.data.splits import few_for_testing
from rmlab.paths import user_path
from rmlab.pipeline.counts import prompt_groups
from rmlab.pipeline.job import Job
from rmlab.pipeline.node import Node
from rmlab.pipeline.problems import Problems
from rmlab.storage.schemas import PROMPTS


def run(job: Job) -> None:
    settings = job.settings.prompts
    path = user_path(settings.path)
    kept, known = chosen_prompts(settings)
    if settings.form == "auto":
        job.progress.say(f"{path} is read as the form {known['form']}; name another with form=...")
    n_found, parted = known.pop("found"), known.pop("parted")
    if few := few_for_testing(sum(p.split == "test" for p in kept)):
        job.writer.warnings.append(few)
    if parted:
        job.writer.warnings.append(
            f"{parted} train prompts are of groups that have test prompts too, and were left out"
        )
    if left_out := known.get("unusable"):
        reasons = "; ".join(f"{n} {reason}" for reason, n in left_out.items())
        job.writer.warnings.append(f"{sum(left_out.values())} records were left out: {reasons}")
    if both := _in_both(kept):
        job.writer.warnings.append(
            f"{both} test prompts are train prompts too, word by word, in another group; "
            "give both the same `group`, and those of train are left out"
        )
    data = pa.Table.from_pylist(
        [
            {
                "prompt_id": p.prompt_id,
                "split": p.split,
                "group": p.group,
                "messages": p.messages,
                "source_row": p.source_row,
            }
            for p in kept
        ],
        schema=PROMPTS.schema,
    )
    counts = {f"{split}_prompts": sum(p.split == split for p in kept) for split in ("train", "test")}
    job.writer.metrics.update(known)
    job.writer.part(0, data, {})
    job.writer.add({**counts, "left_out": n_found - len(kept), "parted_groups": parted})


def foresee(node: Node, problems: Problems) -> None:
    """Checks whether the file can be read as prompts, unless it is too large to read it only for that."""
    prompt_groups(node, problems)


def _in_both(prompts: list[Prompt]) -> int:
    """The number of test prompts whose text is that of a train prompt."""
    train = {text_id(p.messages) for p in prompts if p.split == "train"}
    return sum(p.split == "test" and text_id(p.messages) in train for p in prompts)
