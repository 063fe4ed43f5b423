"""Queries of a batch: claim and commit of workflow states, batch context, batch log, conversions.

Transitions are decided by engine/execution.
"""
