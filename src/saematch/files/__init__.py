"""Files: whole or not there, one writer at a time, and those of others behind one boundary."""
