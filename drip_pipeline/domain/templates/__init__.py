"""Liquid templates: environments, rendering, tracked links, signed tokens.

engine/delivery chooses the contact of a message.
"""
