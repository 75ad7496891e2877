"""Public forms of preference data, each turned into items: a prompt with scored answers.

To add one: a function (row, where) -> Item, a line in RECORDS and one in `_forms`, both in `recognise.py`.
"""
