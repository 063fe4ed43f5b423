"""Queries of contacts and suppressed addresses.

Parsing of import files belongs to engine/contacts.
"""
