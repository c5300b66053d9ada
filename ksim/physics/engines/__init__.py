"""What advances simulations: MuJoCo in C, MJX, and MJX on Warp."""
