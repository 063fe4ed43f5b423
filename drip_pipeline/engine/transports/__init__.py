"""Transports: provider accounts, their registry, flow control, diagnostics.

The protocols of providers belong to channels/.
"""
