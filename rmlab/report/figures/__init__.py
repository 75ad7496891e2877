"""The figures of the report, one kind a file; each function returns inline SVG."""
