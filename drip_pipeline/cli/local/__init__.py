"""Local operation: `drip up`, `drip demo`, the process supervisor and DAGSTER_HOME.

Configuration for production is in deploy/.
"""
