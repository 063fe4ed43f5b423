"""Metadata of runs and materializations, built from what use cases return.

No use case is called here.
"""
