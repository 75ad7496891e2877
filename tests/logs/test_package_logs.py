"""What libraries say goes to the log; the terminal stays quiet."""

import json
import logging
import warnings

import pytest

from rmlab.logs import log, package_logs


@pytest.fixture
def library():
    """A logger that has a handler of its own and tells no other, as that of transformers."""
    logger = logging.getLogger("some_library")
    logger.addHandler(logging.lastResort)  # writes to stderr
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    logger.removeHandler(logging.lastResort)
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


@pytest.fixture
def recording():
    log.start(["rmlab", "run"])
    undo = package_logs.record_package_logs()
    yield lambda: [r for r in map(json.loads, log._log.held) if r["event"] == "library"]
    undo()
    log.stop()


def test_warnings_are_recorded_in_place_of_being_shown(library, recording, capfd):
    library.warning("beware of %s", "this\nline")
    library.info("chatter")
    library.debug("more of it")
    logging.getLogger("rmlab.mine").info("own word")
    warnings.warn("odd", UserWarning, stacklevel=1)
    warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert capfd.readouterr().err == ""
    found = [(r["level"], r["source"], r["text"]) for r in recording()]
    assert found == [
        ("warning", "some_library", "beware of this\nline"),
        ("info", "rmlab.mine", "own word"),
        ("warning", "UserWarning", "odd"),
    ]
    assert all("test_package_logs.py:" in r["place"] for r in recording())


def test_errors_of_libraries_are_shown_as_well(library, recording, capfd):
    library.error("it broke")
    assert "it broke" in capfd.readouterr().err
    assert [(r["level"], r["text"]) for r in recording()] == [("error", "it broke")]


def test_to_debug_all_is_shown_as_well(library, monkeypatch, capfd):
    monkeypatch.setenv(package_logs.DEBUG, "1")
    log.start(["rmlab", "run"])
    undo = package_logs.record_package_logs()
    try:
        library.warning("beware")
        warnings.warn("odd", UserWarning, stacklevel=1)
        texts = [r.get("text") for r in map(json.loads, log._log.held) if r["event"] == "library"]
    finally:
        undo()
        log.stop()
    shown = capfd.readouterr().err
    assert texts == ["beware", "odd"] and "beware" in shown and "UserWarning: odd" in shown


def test_a_message_that_cannot_be_made_harms_nothing(library, recording):
    library.warning("%d rows", "many")
    library.warning("after")
    assert [r["text"] for r in recording()] == ["after"]


def test_a_library_that_never_stops_is_cut_off(library, recording, monkeypatch):
    monkeypatch.setattr(package_logs, "_MOST", 5)
    for n in range(20):
        library.warning("warning %d %s", n, "x" * 10_000)
    found = recording()
    assert len(found) == 6 and "left out" in found[-1]["text"]
    assert all(len(r["text"]) < 5000 for r in found)


def test_what_was_set_is_as_before(library):
    before = (
        logging.Logger.callHandlers,
        warnings.showwarning,
        list(warnings.filters),
        logging.getLogger("rmlab").level,
    )
    package_logs.record_package_logs()()
    after = (
        logging.Logger.callHandlers,
        warnings.showwarning,
        list(warnings.filters),
        logging.getLogger("rmlab").level,
    )
    assert before == after
