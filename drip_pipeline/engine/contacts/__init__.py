"""Imports of contacts and suppressed addresses from files.

Enrolling contacts in campaigns belongs to enrollment/.
"""
