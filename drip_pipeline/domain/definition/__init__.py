"""The campaign definition: file, canvas, steps, JSON Schema, export, legacy formats.

Validation of a definition belongs to compiler/.
"""
