"""Local operation: `drip up`, `drip demo`, the process supervisor and DAGSTER_HOME.

What a deployment runs is in deploy/.
"""
