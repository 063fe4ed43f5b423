"""`drip doctor`: checks of the system, the channels and the receiver.

Checks report problems and the next step; they change nothing.
"""
