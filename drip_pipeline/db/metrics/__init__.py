"""Queries of daily metrics and funnels.

Rates and their formulas belong to experiments/.
"""
