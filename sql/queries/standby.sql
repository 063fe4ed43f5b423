-- name: standby_state
-- Whether this server is a standby, and how many seconds it is behind its primary. A standby that has replayed all that
-- it received, over a connection that exists, is not behind, however long ago the last transaction was. Null: unknown.
SELECT
    pg_is_in_recovery() AS is_standby,
    CASE
        WHEN NOT pg_is_in_recovery() THEN 0
        WHEN
            pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn()
            AND EXISTS (SELECT FROM pg_stat_wal_receiver r WHERE r.pid IS NOT NULL)
            THEN 0
        ELSE CAST(extract(EPOCH FROM clock_timestamp() - pg_last_xact_replay_timestamp()) AS double precision)
    END AS lag_seconds;

-- name: wait_for_replay
-- Waits 0.2 seconds, in which a standby replays what it has just received.
SELECT pg_sleep(0.2);

-- name: is_read_only
-- Whether this session can write nothing: a standby, or a server or role that is set to read only.
SELECT current_setting('transaction_read_only') = 'on' AS is_read_only;
