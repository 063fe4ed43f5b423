"""Dagster jobs and their ops; each op calls one use case of engine/.

Sensors and schedules that start them belong to sensors/.
"""
