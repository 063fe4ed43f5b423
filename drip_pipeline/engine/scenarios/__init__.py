"""Scenario tests: run people of a scenario file through a campaign in memory, and compare.

The format of the file is in domain/scenarios.
"""
