"""Liquid templates: environments, rendering, tracked links, signed tokens.

Which contact a message is rendered for is decided by engine/delivery.
"""
