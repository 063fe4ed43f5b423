"""The outside world: one protocol, one file per channel, and the recorder that keeps messages here.

Channels send and say what became of it. Whom to send to, when, how often and what follows is the
business of engine/; nothing here reads the database or a clock.
"""

from __future__ import annotations
