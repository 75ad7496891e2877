"""Benchmarks of reward models: the rows of each, and how scores of its answers become its results."""
