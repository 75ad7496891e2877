"""The Python interface, `import rmlab`: the same as the commands, with results as objects."""
