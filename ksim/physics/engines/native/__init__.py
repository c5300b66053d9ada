"""MuJoCo itself, in C, on threads of the host."""
