"""Queries of ingestion: staged events, the inbox, imported files.

Parsing of event lines belongs to engine/events.
"""
