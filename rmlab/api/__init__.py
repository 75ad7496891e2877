"""What `import rmlab` offers: the same commands from Python, with results as objects."""
