"""Learning algorithms of `ksim.train_ppo`, by the names that its users know."""
