"""Scenario files: people, what happens to them, and the way through a campaign that is expected.

Running them is in engine/scenarios.
"""
