"""Daily metrics, message outcomes, funnels, Parquet and Prometheus exports.

Evaluation of A/B tests belongs to ab_tests/.
"""
