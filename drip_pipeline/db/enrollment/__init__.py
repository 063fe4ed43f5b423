"""Queries of enrollments and of entry triggers.

Who may enter is decided by engine/enrollment.
"""
