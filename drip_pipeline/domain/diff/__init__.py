"""Differences between two campaign definitions, as data and as short descriptions.

Pages that show them belong to reports/.
"""
