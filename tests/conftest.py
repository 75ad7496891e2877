"""What all tests share: a cache of their own, no hub, a way to call the command line in this process."""

from __future__ import annotations

import copy
import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from small_settings import SMALL

os.environ.setdefault("HF_HUB_OFFLINE", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background: Ctrl-C would test nothing
    signal.signal(signal.SIGINT, signal.default_int_handler)
if "PYTEST_XDIST_WORKER" in os.environ:  # a thread each, since there are as many of them as cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def line(self) -> str:
        """The one line of an error."""
        lines = [x for x in self.err.splitlines() if x.startswith("rmlab: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    from rmlab.cli import app
    from rmlab.commands.guard import guarded

    def call(*arguments: object) -> Result:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["rmlab", *map(str, arguments)])
        before = {
            number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        hook = sys.unraisablehook
        try:
            code = guarded(app)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            sys.unraisablehook = hook
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return call


def pytest_collection_finish() -> None:
    """Leaves what all test modules have made out of every later search for garbage, which took half a second."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()  # or libraries complain at the end of what was not freed


@pytest.fixture(autouse=True, scope="session")
def settings_read_once() -> Iterator[None]:
    """Hydra reads each file of settings once in a session, and looks into its own package once for each name:
    that is most of a composition, and a composition most of a short command."""
    from hydra.core.plugins import Plugins

    Plugins.instance()  # which imports both modules anew: their classes of before are used no more
    from hydra._internal.core_plugins.file_config_source import FileConfigSource as OfFolder
    from hydra._internal.core_plugins.importlib_resources_config_source import (
        ImportlibResourcesConfigSource as OfPackage,
    )

    def of_file(source: Any, config_path: str) -> Any:
        file = Path(source.path, source._normalize_file_name(config_path))
        seen = file.stat() if file.exists() else None
        return seen and (source.path, source.provider, config_path, seen.st_mtime_ns, seen.st_size)

    def of_package(source: Any, config_path: str) -> Any:
        return source.path, source.provider, config_path

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OfFolder, "load_config", _once(OfFolder.load_config, of_file))
        for name in ("load_config", "is_config", "is_group"):
            patch.setattr(OfPackage, name, _once(getattr(OfPackage, name), of_package))
        yield


def _once(method: Callable[[Any, str], Any], key_of: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """The method, called once for each key; what has none is looked at each time."""
    known: dict[Any, Any] = {}

    def call(source: Any, config_path: str) -> Any:
        key = key_of(source, config_path)
        if key is None:
            return method(source, config_path)
        if key not in known:
            known[key] = method(source, config_path)
        return copy.deepcopy(known[key])

    return call


@pytest.fixture(autouse=True)
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are painted and not laid out, which takes most of the time of a short run. Where they are looked
    at, in report/ and study/ and by fixtures of a module or session, they are whole."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    def blank(canvas: Any, file: Any, **_: object) -> None:
        width, height = (72 * inches for inches in canvas.figure.get_size_inches())
        file.write(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}pt" '
            f'height="{height}pt"></svg>'
        )

    monkeypatch.setattr(FigureCanvasSVG, "print_svg", blank)


@pytest.fixture(autouse=True)
def threads_as_found() -> Iterator[None]:
    """Another number of threads changes the last bits of what later tests compute."""
    before = _threads()
    yield
    if before is not None and _threads() != before:
        found, _ = _threads(), sys.modules["torch"].set_num_threads(before)
        pytest.fail(f"torch had {before} threads before this test and has {found} after it")


def _threads() -> int | None:
    torch = sys.modules.get("torch")
    return torch and torch.get_num_threads()


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifacts of a small smoke experiment, run once; do not write into them."""
    from rmlab.pipeline.plan import load_arms, plan
    from rmlab.pipeline.run import run_nodes

    out = tmp_path_factory.mktemp("small") / "artifacts"
    run_nodes(plan(load_arms([*SMALL, f"out={out}"])), "test", quiet=True)
    return out


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from rmlab.models.bundled.random_tiny import write_random_model

    folder = tmp_path_factory.mktemp("tiny") / "model"
    write_random_model(folder, seed=1)
    return folder


@pytest.fixture
def out(small_run, tmp_path) -> Path:
    """The small run's artifacts, for a sweep to write into."""
    from sweep_helpers import copied

    return copied(small_run, tmp_path / "artifacts")


@pytest.fixture
def inline(monkeypatch) -> Any:
    """Cells in this process, counted."""
    from sweep_helpers import Inline

    return Inline(monkeypatch)
