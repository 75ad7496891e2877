"""Print what a study found into README.md and docs/study.md, between markers: no figure is copied by hand.

python scripts/publish_study.py ARTIFACT        # a folder of artifacts/study/
python scripts/publish_study.py ARTIFACT --check   # do the pages show this study? changes nothing
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from rmlab.errors import InputError, RmlabError
from rmlab.storage.artifact import Artifact, open_artifact

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- study:begin -->", "<!-- study:end -->"
PICTURES = ("best_of_n.png", "noise.png")
# The rows of README: (finding, how the claim begins).
MAIN = (
    ("best_of_n", "CLF-MLP is no worse than BT-MLP"),
    ("best_of_n", "CLF-LightGBM is no worse than BT-MLP"),
    ("noise", "CLF-MLP gains on BT-MLP as annotators err more"),
    ("quantity", "Classifiers gain more than BT-MLP"),
    ("pairing", "Across prompts beats within, similar pairs, at equal n"),
    ("pairing", "Best-of-N grows with the mean golden gap"),
)
WORDS = ("supported", "contradicted", "negligible", "undecided", "not run")

Row = Mapping[str, Any]


def number(x: float, form: str = "+.2f") -> str:
    """With a true minus sign, as in running text, and no sign before what is rounded to 0."""
    text = format(x, form)
    return text.replace("-", "−") if float(text) else text.lstrip("+-")


def line(row: Row) -> str:
    """An effect with its interval, to three digits as some bounds are 0.05, and where its line crosses 0."""
    if row["verdict"] == "not run":
        return f"| {row['claim']} | – | not run: {row['reason']} | | |"
    verdict = row["verdict"] + (" ★" if row["survives_holm"] else "")
    verdict += " (at the edge)" if row["at_edge"] else ""
    value, low, high = (number(row[end], "+.3f") for end in ("effect", "low", "high"))
    effect = f"{value} [{low}, {high}]" + crossing(row)
    of = "" if row["n_in_favour"] is None else f"{row['n_in_favour']} of {row['n_setups']}"
    return f"| {row['claim']} | {effect} | {verdict} | {of} | {row['detectable']:.2f} |"


def crossing(row: Row) -> str:
    """Of a line along an axis, where it is 0; nothing of other claims."""
    at, low, high = (row[f"crossing{end}"] for end in ("", "_low", "_high"))
    if at is None:
        return ""
    if math.isinf(low) and math.isinf(high):
        return "; the line may cross 0 anywhere"
    return f"; the line crosses 0 at {number(at, '.2f')} [{number(low, '.2f')}, {number(high, '.2f')}]"


def table(rows: Iterable[Row]) -> str:
    head = "| claim | effect, 95 % interval | verdict | set-ups in favour | could show |\n" + "|---" * 5 + "|"
    return "\n".join([head, *map(line, rows)])


def counts(rows: Iterable[Row]) -> str:
    """How the claims fared after Holm's correction over all of the study."""
    found = [r["corrected"] for r in rows]
    return ", ".join(f"{found.count(word)} {word}" for word in WORDS if word in found)


def main_rows(rows: list[Row]) -> list[Row]:
    found = []
    for finding, start in MAIN:
        of = [r for r in rows if r["finding"] == finding and r["claim"].startswith(start)]
        if not of:
            raise InputError(f"the study has no claim of {finding} that begins with: {start}")
        found.append(of[0])
    return found


def heading(artifact: Artifact, rows: list[Row]) -> str:
    most = max((r["n_seeds"] for r in rows), default=0)
    prompts = max((r["n_prompts"] for r in rows), default=0)
    setups = max((r["n_setups"] for r in rows), default=1)
    words = [word for word in shlex.split(artifact.manifest.command) if not word.startswith("out=")]
    return f"{setups} set-ups, {most} seeds, {prompts} test prompts; made by `{shlex.join(words)}`."


def short(artifact: Artifact, rows: list[Row]) -> str:
    told = counts(r for r in rows if r["in_study"])
    n = sum(bool(r["in_study"]) for r in rows)
    counted = f"Of the study's {n} claims, after Holm's correction over all {len(rows)}: {told}."
    return f"{table(main_rows(rows))}\n\n{heading(artifact, rows)} {counted}"


def long(artifact: Artifact, rows: list[Row], by_setup: list[Row]) -> str:
    parts = [heading(artifact, rows)]
    for in_study, title in (
        (True, "Claims of the study"),
        (False, "Claims of other papers and of this project, and common beliefs"),
    ):
        of = [r for r in rows if bool(r["in_study"]) is in_study]
        parts += [f"### {title}", f"After Holm's correction over all {len(rows)} claims: {counts(of)}."]
        for finding in dict.fromkeys(r["finding"] for r in of):
            parts.append(f"**{finding}**\n\n{table(r for r in of if r['finding'] == finding)}")
    bold = "Effects on each set-up; bold: its own interval, over prompts and seeds, does not hold 0."
    parts += ["### By set-up", bold, setup_table(rows, by_setup)]
    return "\n\n".join(parts)


def setup_table(rows: list[Row], by_setup: list[Row]) -> str:
    """A row a claim, a column a set-up; effects whose own interval excludes 0 are bold."""
    setups = list(dict.fromkeys(r["setup"] for r in by_setup))
    of = {(r["finding"], r["claim"], r["setup"]): r for r in by_setup}
    lines = ["| claim | " + " | ".join(setups) + " |", "|---" * (len(setups) + 1) + "|"]
    for row in rows:
        cells = [_setup_cell(of.get((row["finding"], row["claim"], s))) for s in setups]
        if any(cell != "–" for cell in cells):
            lines.append(f"| {row['claim']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _setup_cell(row: Row | None) -> str:
    if row is None or row["effect"] != row["effect"]:
        return "–"
    text = number(row["effect"])
    return f"**{text}**" if row["low"] > 0 or row["high"] < 0 else text


def with_block(page: Path, text: str) -> str:
    """The page with the text between its markers."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{page} has no block between {BEGIN} and {END}; add the two markers")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def small_picture(source: Path, target: Path) -> None:
    """Writes a picture in 128 colours, which these figures hardly show: a quarter of its size."""
    with Image.open(source) as picture:
        picture.convert("RGB").quantize(128).save(target, optimize=True)


def publish(artifact: Artifact, check: bool) -> int:
    rows = artifact.read("findings").to_pylist()
    by_setup = artifact.read("findings_by_setup").to_pylist()
    pages = {
        ROOT / "README.md": short(artifact, rows),
        ROOT / "docs" / "study.md": long(artifact, rows, by_setup),
    }
    new = {page: with_block(page, text) for page, text in pages.items()}
    stale = [page.name for page, text in new.items() if page.read_text(encoding="utf-8") != text]
    if check:
        print(f"not as this study: {', '.join(stale)}" if stale else "the pages show this study")
        return 1 if stale else 0
    for page, text in new.items():
        page.write_text(text, encoding="utf-8")
    for name in PICTURES:
        if (artifact.path / name).is_file():
            small_picture(artifact.path / name, ROOT / "docs" / "figures" / name)
    print(f"written: {', '.join(stale) or 'nothing had changed'}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where a page differs")
    args = parser.parse_args()
    try:
        return publish(open_artifact(args.artifact), args.check)
    except RmlabError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
