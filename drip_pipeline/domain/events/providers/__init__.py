"""Parsers of provider payloads: one module per provider, pure functions from bytes to event lines.

Checking signatures belongs to channels/signatures.
"""
