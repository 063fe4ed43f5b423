"""The event vocabulary, user agents, and the readers of provider payloads.

Storing events belongs to engine/events.
"""
