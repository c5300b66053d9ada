"""Physics engines, which advance simulations: MuJoCo in C, MJX, and MJX on Warp."""
