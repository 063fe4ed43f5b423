"""Queries of A/B tests: counts, evaluations, decisions.

Statistics belong to experiments/.
"""
