"""The rules of campaigns: definition, graph, node types, conditions, templates, event vocabulary.

Pure: no I/O, no clock, no SQL. Code with side effects belongs to engine/, channels/ or db/.
"""

from __future__ import annotations
