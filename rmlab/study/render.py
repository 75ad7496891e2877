"""The report of a study as one self-contained HTML file, and some of its figures as PNG."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

import rmlab.report.render as page
from rmlab.report.figures.svg import draw_png
from rmlab.storage.files import replacing
from rmlab.study import figures
from rmlab.study.figures import SIZE, is_empty, painter
from rmlab.study.report_content import StudyContent
from rmlab.study.values import METRICS
from rmlab.study.verdict import RULE, VERDICTS

_TEMPLATES = Path(__file__).parent / "templates"
_PAGE_TEMPLATES = Path(page.__file__).parent / "templates"


def render(content: StudyContent) -> str:
    """The HTML of the page; equal content gives equal text."""
    css = (_PAGE_TEMPLATES / "style.css").read_text(encoding="utf-8")
    template = page.environment_of(_TEMPLATES, _PAGE_TEMPLATES).get_template("study.html.j2")
    drawn = {p.finding.name: Markup(figures.figure(p)) for p in content.parts}
    forests = {p.finding.name: Markup(figures.forest(p)) for p in content.parts}
    words = {"rule": RULE, "verdicts": VERDICTS, "metrics": METRICS}
    return template.render(content=content, css=Markup(css), figures=drawn, forests=forests, **words)


PICTURES = {"noise": "noise.png", "best_of_n": "best_of_n.png"}  # name of a finding -> file


def write_pictures(content: StudyContent, folder: Path) -> None:
    """Writes the PICTURES of the findings that were run."""
    for part in content.parts:
        if part.finding.name in PICTURES and not is_empty(part):
            with replacing(folder / PICTURES[part.finding.name]) as temporary, temporary.open("wb") as file:
                draw_png(file, SIZE, painter(part))
