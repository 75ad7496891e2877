import os
import shlex
import subprocess

import pytest

from rmlab.logs.records import shell_line, shortened


@pytest.mark.parametrize(
    "word", ["plain", "two words", "it's", "a\nb", "tab\t\\'\"$x`", "\x1b[31m", "schön\u2028", b"\xff\xfe".decode(errors="surrogateescape"), "\U0001f9ff\u200d", ""]
)  # fmt: skip
def test_a_shell_reads_the_words_again(word):
    line = shell_line(["printf", "%s|", word, "end"])
    assert line.isprintable()
    said = subprocess.run(
        ["bash", "-c", line], capture_output=True, check=True, env={**os.environ, "LC_ALL": "C.UTF-8"}
    )
    assert said.stdout == os.fsencode(word) + b"|end|"


def test_words_without_control_characters_are_as_shlex_has_them():
    words = ["rmlab", "run", "input=my file.jsonl", "arms=['head=mlp']"]
    assert shell_line(words) == shlex.join(words)


def test_a_long_text_keeps_its_ends():
    assert shortened("abc", 3) == "abc"
    assert shortened("a" * 50 + "z" * 50, 10) == "aaaaa ... zzzzz"
