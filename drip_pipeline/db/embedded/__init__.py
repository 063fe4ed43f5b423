"""The embedded PostgreSQL server: binaries, configuration, start and stop.

Connections to it are made by db/connection.py like to any other server.
"""
