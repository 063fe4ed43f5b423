"""The compiled campaign graph: nodes, fields, traversal, reachability, migration rules.

Building a graph from a definition belongs to compiler/.
"""
