"""The engine on a store in memory, with a virtual clock and without a database.

`execute` computes the transitions, as always; this package applies what a commit would write, and
loads what a batch reads. It is used by scenario tests and by the simulation.
"""
