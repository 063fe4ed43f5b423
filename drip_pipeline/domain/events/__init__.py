"""The event vocabulary, bounce classes, SMS keywords, user agents, and the parsers of provider
payloads.

Storing events belongs to engine/events.
"""
