"""Queries of Dagster's run storage: its database, and pruning of old runs.

The engine's own tables do not belong here.
"""
