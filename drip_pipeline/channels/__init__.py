"""Channels: one protocol, one module per provider, and the recorder, which sends nothing.

A channel sends messages and returns results. Recipients, due times, retries and next steps belong
to engine/. Nothing here reads the database or a clock.
"""

from __future__ import annotations
