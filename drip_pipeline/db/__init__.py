"""SQL. The only room that imports psycopg or sqlalchemy: connections, named queries, bulk copy,
migrations and the embedded server. Rules of campaigns do not belong here.
"""

from __future__ import annotations
