"""Tells how many prompts and responses a plan has, before they are there."""

from __future__ import annotations

from rmlab.config.components import component_class
from rmlab.data.forms.items import chosen_prompts
from rmlab.errors import RmlabError
from rmlab.paths import user_path
from rmlab.pipeline.node import Node
from rmlab.pipeline.problems import Problems

LARGEST = 64 * 2**20  # bytes of a file of prompts that is read before the run

Groups = dict[str, list[str]]  # the group of each prompt, by split


def prompt_groups(prompts: Node, problems: Problems) -> Groups | None:
    """The groups of the prompts by split; None where much would have to be read to know them, or where the
    file is not there. What is wrong with the file is added to the problems."""
    return problems.once("prompts", prompts.fingerprint, lambda: _groups(prompts, problems))


def _groups(prompts: Node, problems: Problems) -> Groups | None:
    found: Groups = {"train": [], "test": []}
    if prompts.is_done:
        table = prompts.open().read(columns=["split", "group"])
        for split, group in zip(table["split"].to_pylist(), table["group"].to_pylist(), strict=True):
            found[split].append(group)
        return found
    how, source = prompts.settings.prompts, prompts.sources["file"]
    path = user_path(how.path)
    if source.is_missing or not path.is_file() or path.stat().st_size > LARGEST:
        return None
    try:
        for prompt in chosen_prompts(how)[0]:
            found[prompt.split].append(prompt.group)
    except RmlabError as error:
        problems.add(error)
        return None
    return found


def responses_a_prompt(sample: Node) -> dict[str, int] | None:
    """The number of responses that are drawn for each prompt, by split; None where they are read."""
    s = sample.settings
    if not component_class(s.sampler, s.allow_modules, "sampler").needs_model:  # type: ignore[attr-defined]
        return None
    return {"train": s.sampling.n_train, "test": s.sampling.n_test}


def n_responses(sample: Node, problems: Problems) -> int | None:
    """The number of responses that a sample has, or will have; None where it is not known."""
    if sample.is_done:
        return sample.open().manifest.rows
    if (each := responses_a_prompt(sample)) is None:
        return None
    groups = prompt_groups(sample.inputs["prompts"], problems)
    if groups is None:
        return None
    return sum(len(groups[split]) * n for split, n in each.items())
