"""Compiling a campaign definition to a graph: analysis, validation, compilation.

File formats belong to definition/, the graph itself to graph/.
"""
