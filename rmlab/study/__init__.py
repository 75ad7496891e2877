"""A study's findings as settings, judged on a sweep: effects with intervals, verdicts by a rule."""
