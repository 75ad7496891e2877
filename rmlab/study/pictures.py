"""Two figures as PNG, for pages that take no SVG."""

from __future__ import annotations

from pathlib import Path

from rmlab.artifacts.files import replacing
from rmlab.report.figures.svg import draw_png
from rmlab.study.content import StudyContent
from rmlab.study.figures import SIZE, is_empty, painter

PICTURES = {"noise": "noise.png", "best_of_n": "best_of_n.png"}  # finding -> file


def write_pictures(content: StudyContent, folder: Path) -> None:
    """Those of the findings that were run."""
    for part in content.parts:
        if part.finding.name in PICTURES and not is_empty(part):
            with replacing(folder / PICTURES[part.finding.name]) as temporary, temporary.open("wb") as file:
                draw_png(file, SIZE, painter(part))
