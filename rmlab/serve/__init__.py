"""Serves a reward model over HTTP: `rmlab serve HEAD`."""
