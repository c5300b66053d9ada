"""One file to read top to bottom each."""
