"""Nothing reaches for the network but a model that is named by its id on a hub, and that says so.

Python tells a hook of every address that is looked up and every connection. The hook writes them down and
refuses them; it is in worker processes too. The system's own sockets (AF_UNIX) are none of this.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from human_pairs import pair_rows, write_rows
from small_settings import SMALL

HOOK = """
import os, sys

LOG = os.environ["RMLAB_TEST_NETWORK_LOG"]
EVENTS = {"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
          "socket.gethostbyname", "socket.gethostbyaddr"}


def note(*words):
    file = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (" ".join(map(str, words)) + "\\n").encode())
    os.close(file)


def hook(event, args):
    if event in EVENTS and int(getattr(args[0], "family", 2)) != 1:
        note("tried", event, *args)
        raise OSError(101, "no network in this test")


sys.addaudithook(hook)
note("process", os.getpid())
"""
RUN = """
import json, sys
from rmlab.cli import app
from rmlab.commands.guard import guarded

codes = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["rmlab", *arguments]
    codes.append(guarded(app))
print(json.dumps(codes))
"""


@pytest.fixture
def commands(tmp_path):
    """Runs commands where there is no network -> their exit codes, what was tried, processes, stderr."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    (tmp_path / "run.py").write_text(RUN)
    log = tmp_path / "network.log"
    search = [str(tmp_path / "hook"), *(p for p in sys.path if p)]
    offline = {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"}
    kept = {k: v for k, v in os.environ.items() if k not in offline}
    own = {"PYTHONPATH": os.pathsep.join(search), "RMLAB_TEST_NETWORK_LOG": str(log)}

    def run(*commands, **environment):
        log.unlink(missing_ok=True)
        argument = json.dumps([[str(word) for word in command] for command in commands])
        done = subprocess.run(
            [sys.executable, str(tmp_path / "run.py"), argument],
            env={**kept, **own, **environment}, cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        lines = log.read_text().splitlines()
        tried = [line for line in lines if line.startswith("tried")]
        processes = {line for line in lines if line.startswith("process")}
        return json.loads(done.stdout.splitlines()[-1]), tried, processes, done.stderr

    return run


@pytest.mark.slow
def test_the_whole_experiment_reaches_for_nothing(commands, tmp_path):
    settings = [*SMALL, "golden=[sentiment,length]", "label_golden=length", "prompts_per_shard=9"]
    settings += ["sampler=transformers", "sampling.max_new_tokens=24"]
    codes, tried, processes, err = commands(
        ["doctor"],
        ["run", *settings],
        ["embed", *settings, "embedder=sentence", "workers=2"],
        ["sweep", *settings, "arms=[]", "seed=0,1", "--workers", "2"],
        ["import", write_rows(tmp_path / "pairs.jsonl", pair_rows())],
        ["status", *settings],
    )
    assert codes == [0] * 6, err
    assert tried == []
    assert len(processes) >= 1 + 2 + 2, "the hook is in the workers too"
    assert list(tmp_path.glob("artifacts/report/*/report.html"))


@pytest.mark.slow
def test_a_hub_id_is_what_reaches_out_and_offline_it_does_not(commands):
    command = ["sample", *SMALL, "sft=none", "sampler=transformers", "model=someone/some-model"]
    codes, tried, _, err = commands(command)
    assert codes == [3] and tried
    assert "model=someone/some-model cannot be reached" in err and "network" in err
    codes, tried, _, err = commands(command, HF_HUB_OFFLINE="1")
    assert codes == [3] and tried == []
    assert "model=someone/some-model is not in the local cache and HF_HUB_OFFLINE is set" in err
