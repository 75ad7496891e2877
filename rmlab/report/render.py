"""The report of an experiment as one self-contained HTML file, made from templates."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from rmlab.report import result_tables as tables
from rmlab.report import wording
from rmlab.report.comparison_designs import design_rows
from rmlab.report.content import ReportContent
from rmlab.report.examples import pick_examples
from rmlab.report.figures import calibration, curves, histograms, intervals
from rmlab.report.heldout import agreements, extents, heldout_rows, pick_disputed
from rmlab.report.shown_arms import N_PANELS, leading, ordered_arms

_TEMPLATES = Path(__file__).parent / "templates"


def render(content: ReportContent) -> str:
    """The HTML of the page; equal content gives equal text."""
    return fill("page.html.j2", content=content, **_tables(content), **_figures(content))


def fill(template: str, *folders: Path, **values: Any) -> str:
    """The HTML that a template makes of values, which are escaped and made printable.

    folders: where templates are, besides the folder of the report's own.
    """
    css = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
    return _environment([*folders, _TEMPLATES]).get_template(template).render(css=Markup(css), **values)


def _environment(folders: list[Path]) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=_printable,
    )
    environment.filters |= {
        "breakable": _breakable,
        "number": wording.number,
        "percent": wording.percent,
        "interval": wording.interval,
        "has_interval": lambda low, high: bool(wording.interval(low, high)),
        "count": wording.count,
        "duration": wording.duration,
        "listed": wording.listed,
    }
    return environment


def _breakable(name: str) -> Markup:
    """A name that may wrap after an underscore, a dot or a dash, unless a number follows."""
    return Markup("<wbr>").join(
        escape(part) for part in re.split(r"(?<=[_.-])(?=[^\W\d])", wording.clean(name))
    )


def _printable(value: Any) -> Any:
    """Cleans every text that a template writes; markup made here is left as it is."""
    return wording.clean(value) if type(value) is str else value


def _tables(content: ReportContent) -> dict[str, Any]:
    arms = ordered_arms(content)
    rows = tables.head_rows(content, arms)
    designs = design_rows(content, arms)
    held_out = heldout_rows(content)
    return {
        "arms": arms,
        "named_arms": [a for a in arms if a in leading(arms) or not a.is_head],
        "n_heads": sum(a.is_head for a in arms),
        "n_panels": N_PANELS,
        "design_rows": designs,
        "has_agreement": any(math.isfinite(r.agreement) for r in designs),
        "has_flagged": any(math.isfinite(r.n_flagged) for r in designs),
        "rows": rows,
        "chosen": next((r for r in rows if r.arm.is_chosen), None),
        "differences": tables.differences(content, arms),
        "largest_n": tables.largest_n(content),
        "validation_n": tables.largest_n(content, "validation"),
        "n_prompts": tables.n_prompts(content),
        "response_rows": tables.response_rows(content),
        "examples": pick_examples(content),
        "heldout_rows": held_out,
        "extents": extents(content),
        "agreements": agreements(content, held_out),
        "disputed": pick_disputed(content, held_out),
        "pairs_only": content.heldout is not None and tables.largest_n(content) <= 2,
    }


def _figures(content: ReportContent) -> dict[str, Any]:
    """The figures as Markup, which is safe: the XML writer has escaped all text in them."""
    return {
        "dots": _markup(intervals.metric_dots(content)),
        "curve_wide": Markup(curves.best_of_n(content)),
        "curve_narrow": Markup(curves.best_of_n(content, wide=False)),
        "proxy": _markup(curves.proxy_against_golden(content)),
        "paired": Markup(intervals.paired_differences(content)),
        "variances": _markup(histograms.label_variances(content)),
        "calibration": _markup(calibration.reliability(content)),
        "golden": _markup(histograms.golden_histograms(content)),
        "heldout_figure": Markup(intervals.heldout_accuracies(heldout_rows(content))),
        "heldout_calibration": _markup(calibration.heldout_reliability(content)),
        "scores": _markup(histograms.score_histograms(content)),
        "sft_loss": Markup("" if content.sft_log is None else curves.sft_loss(content.sft_log)),
    }


def _markup(svgs: list[str]) -> list[Markup]:
    return [Markup(svg) for svg in svgs]
