"""The work of each command; cli.py only parses the command line."""
