from rmlab.errors import LONGEST, InputError, one_line


def test_nothing_in_a_message_can_end_its_line_or_steer_the_terminal():
    text = "a\nb\tc\x1b[2Jd\u2028e\u202ef\udcff"
    assert one_line(text) == "a b c\\x1b[2Jd e\\u202ef\\udcff"
    assert one_line("schön 漢字 'x'") == "schön 漢字 'x'"


def test_a_long_message_keeps_what_is_wrong_and_what_to_do():
    line = str(InputError(f"wrong: {'x' * 10**6}; do this"))
    assert len(line) <= LONGEST and line.startswith("wrong: x") and line.endswith("x; do this")
