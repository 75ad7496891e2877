"""The report of a study as one self-contained HTML file, and some of its figures as PNG."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from rmlab.report.figures.svg import draw_png
from rmlab.report.render import fill
from rmlab.storage.files import replacing
from rmlab.study import figures
from rmlab.study.figures import SIZE, is_empty, painter
from rmlab.study.report_content import StudyContent
from rmlab.study.values import METRICS
from rmlab.study.verdict import RULE, VERDICTS

_TEMPLATES = Path(__file__).parent / "templates"
PICTURES = {"noise": "noise.png", "best_of_n": "best_of_n.png"}  # name of a finding -> file


def render(content: StudyContent) -> str:
    """The HTML of the page; equal content gives equal text."""
    drawn = {p.finding.name: Markup(figures.figure(p)) for p in content.parts}
    forests = {p.finding.name: Markup(figures.forest(p)) for p in content.parts}
    words = {"rule": RULE, "verdicts": VERDICTS, "metrics": METRICS}
    return fill("study.html.j2", _TEMPLATES, content=content, figures=drawn, forests=forests, **words)


def write_pictures(content: StudyContent, folder: Path) -> None:
    """Writes the PICTURES of the findings that were run."""
    for part in content.parts:
        if part.finding.name in PICTURES and not is_empty(part):
            with replacing(folder / PICTURES[part.finding.name]) as temporary, temporary.open("wb") as file:
                draw_png(file, SIZE, painter(part))
