"""The data card of an embedding set: README.md with the front matter that data set hubs read."""

from __future__ import annotations

import json
from typing import Any

import yaml

from rmlab.config.components import NAME, recorded_name
from rmlab.config.quoting import override
from rmlab.logs.records import shell_line
from rmlab.storage.set_record import SetEmbedder, SetPolicy, SetRecord, embeddings_file, scales_file

_TASK = (
    "An embedding set for reward-model research, made by rmlab: heads can be fitted on it without a model."
)


def card(record: SetRecord, description: str = "") -> str:
    """The text of the card; its `configs` name each table for `datasets.load_dataset`."""
    front = yaml.safe_dump(_front(record), sort_keys=False, allow_unicode=True)
    parts = [f"---\n{front}---\n\n# {record.name}\n", description or _TASK, _use(record), _tables(record)]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _front(record: SetRecord) -> dict[str, Any]:
    names = [name.removesuffix(".parquet") for name in record.files]
    return {
        "license": record.license.lower(),
        "pretty_name": record.name,
        "tags": ["reward-model", "embeddings", "preference-learning", "rmlab"],
        "configs": [{"config_name": name, "data_files": f"{name}.parquet"} for name in names],
    }


def _use(record: SetRecord) -> str:
    policy, embedder = record.policies[0].name, record.embedders[0].name
    chosen = shell_line([override("set.policy", policy), override("set.embedder", embedder)])
    return f"""```
rmlab validate FOLDER
rmlab run experiment=embedding_set input=FOLDER {chosen}
```

The vectors are stored in 8 bits; with pandas they are one line away:

```python
import numpy as np, pandas as pd
scale = pd.read_parquet("{scales_file(policy, embedder)}")["scale"].to_numpy()
x = np.stack(pd.read_parquet("{embeddings_file(policy, embedder)}")["embedding"]) * scale
```

Tables join on `prompt_id` and `response_id`, never on the order of rows. `set.json` has the settings, the
fingerprints of all stages, and the checksums."""


def _tables(record: SetRecord) -> str:
    n = record.prompts
    lines = [
        f"**Prompts:** {n['train']:,} train, {n['test']:,} test.",
        "",
        "| policy | responses | model | SFT | new tokens | temperature | top-p |",
        "|---|---|---|---|---|---|---|",
        *(_policy_line(policy) for policy in record.policies),
        "",
        "**Golden rewards:** " + ", ".join(_reward(r.name, r.made_by) for r in record.rewards) + ".",
        "",
        "| embedder | width | settings | lost to 8 bits |",
        "|---|---|---|---|",
        *(_embedder_line(embedder) for embedder in record.embedders),
        "",
        "Lost to 8 bits: root mean square of the rounding over that of the vectors' spread.",
    ]
    return "\n".join(lines)


def _policy_line(policy: SetPolicy) -> str:
    made = policy.made_by
    sampling = made.get("sample", {}).get("config", {}).get("sampling", {})
    part = made.get("sft") or made.get("sample", {})
    model = part.get("sources", {}).get("model", {}).get("name", "-")
    tuned = made.get("sft", {}).get("config", {}).get("method", "none")
    cells = [policy.name, f"{policy.responses:,}", model, tuned]
    cells += [str(sampling.get(key, "-")) for key in ("max_new_tokens", "temperature", "top_p")]
    return _row(cells)


def _reward(name: str, made_by: dict[str, Any]) -> str:
    return f"{name} ({_settings(made_by.get('config', {}).get('golden', {}))})"


def _embedder_line(embedder: SetEmbedder) -> str:
    config = embedder.made_by.get("config", {}).get("embedder", {})
    sources = [s.get("name", "") for s in embedder.made_by.get("sources", {}).values()]
    what = ", ".join([*sources, _settings(config)])
    worst = max(embedder.error.values(), default=0.0)
    return _row([embedder.name, str(embedder.dimension), what, f"{worst:.2%}"])


def _settings(config: dict[str, Any]) -> str:
    """A component as text: its name and its parameters."""
    rest = [
        f"{k}={v if isinstance(v, str) else json.dumps(v)}"
        for k, v in config.items()
        if k not in (NAME, "_target_")
    ]
    return ", ".join([recorded_name(config), *rest])


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def front_matter(text: str) -> dict[str, Any]:
    """The YAML between the first two lines of ---; raises a ValueError if there is none."""
    begin, mark, rest = text.partition("---\n")
    inside, end, _ = rest.partition("\n---")
    if begin.strip() or not mark or not end:
        raise ValueError("it does not begin with front matter between two lines of ---")
    try:
        found = yaml.safe_load(inside)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"its front matter is not YAML ({' '.join(str(error).split())[:150]})") from None
    if not isinstance(found, dict):
        raise ValueError("its front matter has no keys")
    return found
