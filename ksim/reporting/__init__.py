"""Shows a run to a person: the terminal, metrics files, tables; knows no learning."""
