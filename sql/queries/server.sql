-- name: server_version
-- Returns PostgreSQL's version, for `drip db status` and `drip doctor`.
SHOW server_version;
