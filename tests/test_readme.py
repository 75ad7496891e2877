"""README.md and the pages in docs/: their commands work, and their links and paths lead somewhere."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
import yaml
from small_settings import SMALL

from rmlab import __version__
from rmlab.cli import app

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RECIPES = sorted((ROOT / "docs" / "recipes").glob("*.md"))  # tests/test_recipes.py runs them
PAGES = [*DOCS, *RECIPES, *sorted(ROOT.glob("[!R]*.md")), ROOT / "RESULTS.md", ROOT / "data" / "README.md"]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
LAB = TEXTS["docs/reward_lab.md"]
FITS = re.findall(r"^rmlab fit-rm experiment=demo (.+)$", LAB, flags=re.MULTILINE)
SWEEPS = re.findall(r"^rmlab sweep experiment=demo (.+)$", LAB, flags=re.MULTILINE)
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def typed(text: str) -> list[list[str]]:
    """The words of each command in the blocks of a page that have no language."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    shell = [block for language, block in blocks if not language]
    lines = [line for block in shell for line in block.replace("\\\n", " ").splitlines()]
    found = []
    for line in lines:
        words = shlex.split(re.sub(r"\s#.*", "", line))
        words = words[1:] if words and words[0].startswith("PYTHONPATH=") else words
        if words and words[0] in ("rmlab", "make", "bash"):
            found.append(words)
    return found


RMLAB = [
    pytest.param(words[1:], id=f"{page}: {shlex.join(words)[:70]}")
    for page, text in TEXTS.items()
    if ROOT / page not in RECIPES
    for words in typed(text)
    if words[0] == "rmlab"
]


def test_there_are_commands_to_try():
    assert len(FITS) == 5 and len(SWEEPS) == 1 and len(RMLAB) >= 40
    assert ["make", "test"] in typed(TEXTS["README.md"])
    assert "make test" in (ROOT / ".ci" / "run").read_text()


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_model) -> Path:
    """A folder with what the commands of the pages read, under the names that they use."""
    folder = tmp_path_factory.mktemp("place")
    pair = {"prompt": "Hello", "chosen": "Good day.", "rejected": "What?"}
    with gzip.open(folder / "pairs.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(pair | {"prompt": f"Hello, number {i}"}) + "\n" for i in range(20))
    (folder / "FOLDER").mkdir()
    rows = [{"prompt": f"Hello, number {i}", "completion": "Good day."} for i in range(200)]
    for name in ("mine.jsonl", "demos.jsonl", "ranked.jsonl"):
        (folder / name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    scored = [{"prompt": row["prompt"], "response": row["completion"], "score": 1.0} for row in rows]
    for name in ("scored.parquet", *(f"FOLDER/{t}.parquet" for t in OWN)):
        pq.write_table(pa.Table.from_pylist(scored), folder / name)
    (folder / "mine.py").write_text(
        "def reward(prompts, responses):\n    return [len(r) for r in responses]\n\n\nbrief = reward\n"
    )
    (folder / "SET").symlink_to(next((ROOT / "data" / "released").iterdir()))
    (folder / "ORG").mkdir()
    (folder / "google").mkdir()
    for name in ("ORG/NAME", "google/gemma-2b"):
        (folder / name).symlink_to(tiny_model)
    return folder


OWN = ("prompts", "responses", "embeddings")


@pytest.mark.parametrize("words", RMLAB)
def test_a_command_of_the_pages_can_be_run(cli, place, monkeypatch, words):
    """As a dry run where the command has one, without the arms of its experiment; others are only parsed."""
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.delitem(sys.modules, "mine", raising=False)  # the module of another test
    name, arguments = words[0], words[1:]
    context = COMMANDS[name].make_context(name, list(arguments))
    if "dry_run" not in context.params:
        return
    arguments = [re.sub(r"=(ORG/NAME|google/gemma-2b)$", r"=./\1", word) for word in arguments]
    if name == "release":
        arguments[0] = "NEW"
    if name == "reproduce" and "--only" not in arguments:  # each finding is planned in the same way
        arguments += ["--only", "quantity"]
    if any("experiment=" in word for word in arguments) and not any("arms=" in word for word in arguments):
        arguments.append("arms=[]")
    result = cli(name, *arguments, *([] if "--dry-run" in arguments else ["--dry-run"]))
    assert result.code == 0 or (result.code == 3 and only_lacks(result.err)), result.err


# What a machine or a folder may lack on which a page's command is right all the same.
LACKS = re.compile(
    r"which is not done: run `|is not done: first `| needs (vllm|mlflow); |no CUDA GPU|shows \d+ GPUs"
    r"|: no such folder; give artifacts/fit_rm/NAME"
)


def only_lacks(told: str) -> bool:
    return all(LACKS.search(line) for line in told.splitlines())


@pytest.mark.parametrize("page", TEXTS)
def test_what_a_page_names_is_there(page):
    text = TEXTS[page]
    folder = (ROOT / page).parent
    for target, anchor in re.findall(r"\]\(([^)#\s:]*)(?:#([^)]+))?\)", text):
        place = folder / target if target else ROOT / page
        assert place.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", place.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in {h.lower().replace(" ", "-") for h in headings}, anchor
    made = set(re.findall(r"^`((?:rmlab|conf)/\S+)`[^\n]*:\n```", text, flags=re.MULTILINE))
    paths = re.findall(r"`(?:\S*python )?((?:rmlab|conf|scripts|tests|docs|data)/[\w/.-]*)", text)
    for path in set(paths) - made - {"tests/that_file.py"}:
        assert (ROOT / path).exists() or page == "CHANGELOG.md", path
    for name in re.findall(r"`(?:\.venv/bin/)?rmlab ([a-z-]+)[ `]", text):
        assert name in COMMANDS, name
    blocks = {word for words in typed(text) if words[0] == "make" for word in words[1:] if "=" not in word}
    for target in blocks | set(re.findall(r"`make ([a-z-]+)", text)):
        assert target in TARGETS, target


def test_the_front_door_is_short_and_its_picture_small():
    assert len(TEXTS["README.md"].splitlines()) <= 130
    pictures = re.findall(r"!\[[^]]+\]\((.+?)\)", TEXTS["README.md"])
    assert len(pictures) == 1
    assert all(file.stat().st_size < 100_000 for file in (ROOT / "docs" / "figures").iterdir())


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__ and citation["license"] == "Apache-2.0"


def test_pre_commit_runs_what_ci_checks():
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    hooks = [hook["entry"] for repo in yaml.safe_load(text)["repos"] for hook in repo["hooks"]]
    recipes = re.findall(
        r"^(?:lint|type|layers):[^\n]*\n\t@([^\n]+)$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    typed_by_make = [
        part.replace("$(BIN)", ".venv/bin") for recipe in recipes for part in recipe.split(" && ")
    ]
    assert hooks == typed_by_make


@pytest.fixture(scope="module")
def out(small_run, tmp_path_factory) -> Path:
    kept = shutil.ignore_patterns("fit_rm", "eval_rm", "report", "sft")
    return Path(shutil.copytree(small_run, tmp_path_factory.mktemp("readme") / "out", ignore=kept))


@pytest.mark.parametrize("command", FITS)
def test_a_fit_of_the_lab(cli, out, command):
    """Its budget is for larger sets; the small experiment has arms of several heads, too."""
    settings = [s for s in shlex.split(command) if not s.startswith("comparisons.n=")]
    result = cli("fit-rm", *SMALL, f"out={out}", *settings, "comparisons.n=30", "--json")
    assert result.code == 0, result.err
    assert {s["state"] for s in result.json["stages"]} == {"done"}


def test_the_sweep_of_the_lab_counts_its_cells(cli, tmp_path):
    result = cli("sweep", *SMALL, f"out={tmp_path}", *shlex.split(SWEEPS[0]))
    assert result.code == 3 and "first `rmlab run" in result.err  # nothing is done that the cells read
    assert "36 cells" in result.out


def test_every_choice_of_the_lab_is_named():
    for group in ("pairing", "noise", "selection", "loss", "head"):
        for file in (ROOT / "conf" / group).glob("*.yaml"):
            assert f"`{file.stem}`" in LAB, f"{group}={file.stem}"


def test_every_golden_reward_is_named():
    for file in (ROOT / "conf" / "golden").glob("*.yaml"):
        assert f"| `{file.stem}` |" in TEXTS["docs/goldens.md"], file.stem
