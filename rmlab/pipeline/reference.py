"""What is known of the policy that responses were drawn from: the reference that others are measured from.

Only at temperature 1 and top-p 1 is that policy the model itself. Otherwise unlikely tokens were cut off, or
all were reweighted, and a KL from the samples is not one from the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rmlab.config.components import component_class
from rmlab.errors import RmlabError
from rmlab.paths import user_path
from rmlab.pipeline.node import Node
from rmlab.storage.set_record import RECORD, open_set

Reference = Literal["exact", "truncated", "unknown"]


def reference_of(sample: Node) -> Reference:
    """Says of the test responses of a sample whether they were drawn from the whole policy.

    Responses of an embedding set were drawn as the set's record says; of other imported ones it is unknown.
    """
    s = sample.settings
    if component_class(s.sampler, s.allow_modules, "sampler").needs_model:  # type: ignore[attr-defined]
        return _kind(s.sampling.model_dump())
    source = sample.sources.get("sampler.test_path") or sample.sources.get("sampler.path")
    return "unknown" if source is None else _of_set(source.name)


def _of_set(responses: str) -> Reference:
    """responses: the path of a table of responses, which may lie in an embedding set."""
    file = user_path(responses)
    if not (file.parent / RECORD).is_file():
        return "unknown"
    policy = Path(responses).stem.removeprefix("responses-")
    try:
        record = open_set(file.parent).record
        [made_by] = [p.made_by for p in record.policies if p.name == policy]
        return _kind(made_by["sample"]["config"]["sampling"])
    except (RmlabError, ValueError, LookupError, TypeError):
        return "unknown"


def _kind(sampling: Mapping[str, Any]) -> Reference:
    return "exact" if sampling["top_p"] == 1 and sampling["temperature"] == 1 else "truncated"
