"""`drip doctor`: checks of the settings, the database, the channels and the receiver.

Checks report problems and the next step; they change nothing.
"""
