"""Files of a run: checkpoints, their manifests, its directory and its lock. Knows no learning."""
