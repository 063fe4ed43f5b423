"""A/B tests: counts, evaluation, decisions, declared winners, results.

The statistics belong to experiments/, pages to reports/.
"""
