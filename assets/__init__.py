"""Dagster assets, one module for each, and the asset checks.

An asset calls use cases of engine/ and reports their results as metadata.
"""
