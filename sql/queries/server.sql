-- Facts about the server.

-- name: server_version
-- PostgreSQL's version, for `drip db status` and `drip doctor`.
SHOW server_version;
