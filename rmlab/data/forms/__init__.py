"""Public forms of preference data, each turned into items: a prompt with scored answers.

To add one: a module with `item(row, where) -> Item`, a line in `records.py` and one in `recognise.py`.
"""
