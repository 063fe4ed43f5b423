"""Database access: connections, named queries, bulk copy, migrations and the embedded server.

The only package that imports psycopg or SQLAlchemy. Campaign logic belongs to domain/ and engine/.
"""

from __future__ import annotations
