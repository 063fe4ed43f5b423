"""A batch: claim due states, execute nodes, commit transitions.

Sending belongs to delivery/. Only commit writes workflow states.
"""
