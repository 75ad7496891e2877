"""Trackers: settings, metrics and the report of a run in a tool that compares runs. None is sent unasked."""
