"""The log of a run: what it was, did, said and failed of, one JSON object a line."""
