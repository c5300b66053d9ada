"""What ksim does for XLA's sake or behind JAX's back. Knows no physics and no learning."""
