"""A finding of the user's own, small enough to judge in seconds."""

from __future__ import annotations

from pathlib import Path

import yaml

CLAIMS = [
    {"statement": "clean beats noisy", "plus": [{"noise.error": 0.0}], "minus": [{"noise.error": 0.45}], "smallest": 0.1},
    {"statement": "trees beat linear", "plus": [{"arm": "trees"}], "minus": [{"arm": "linear"}], "smallest": 0.1},
]  # fmt: skip
MINE = {
    "title": "Mine",
    "question": "Does it matter?",
    "claim": "It does.",
    "source": "Me",
    "arms": {"linear": "head=linear loss=bradley_terry", "trees": "head=trees loss=classification"},
    "grid": ["noise.error=0.0,0.45"],
    "x": "noise.error",
    "claims": CLAIMS,
}


def write_finding(folder: Path) -> Path:
    """The finding "mine" in a folder for --config-dir."""
    (folder / "conf" / "study").mkdir(parents=True)
    (folder / "conf" / "study" / "mine.yaml").write_text(yaml.safe_dump(MINE))
    return folder / "conf"
