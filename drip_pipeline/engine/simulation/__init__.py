"""Simulate a campaign before it is launched: many people, modeled reactions, a virtual clock."""
