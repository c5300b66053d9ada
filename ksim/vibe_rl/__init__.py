"""Names of vibe-rl's guide: its `vibe_rl.X` is `ksim.vibe_rl.X`. Nothing else imports them."""
