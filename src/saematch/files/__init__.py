"""Files: atomic writes, one writer at a time, and one boundary for foreign parsers."""
