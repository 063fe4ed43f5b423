"""Queries of enrollments and of entry triggers.

The decision about entry terms belongs to engine/enrollment.
"""
