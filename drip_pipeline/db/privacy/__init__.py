"""Queries about all that is stored of a person: erasing it, and reading it for an export.

`catalog.py` says of each column whether it can hold personal data, and what becomes of it.
"""
