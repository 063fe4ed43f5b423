"""The demonstration: made-up people, made-up reactions, a compressed clock, and the real engine,
job and assets."""
