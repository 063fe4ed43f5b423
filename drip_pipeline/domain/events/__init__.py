"""The event vocabulary, user agents, and the parsers of provider payloads.

Storing events belongs to engine/events.
"""
