"""Queries of operations: invariants, incidents, retention, overview.

What an operator should do belongs to engine/operations.
"""
