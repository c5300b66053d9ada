"""What a person sees of a run: the terminal, its metrics files, tables. Knows no learning."""
