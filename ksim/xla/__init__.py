"""Confines what exists because of XLA or JAX: private doors, flags, and ways around their costs.

Knows no physics and no learning. Each file says why it exists and which versions of JAX it was
written for; where a door is missing, it goes the plain way and says so once.
"""
