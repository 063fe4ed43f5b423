"""Poolers between the engine and PostgreSQL: PgBouncer where it is installed, and a proxy that
shares server sessions as poolers in transaction mode do.
"""
