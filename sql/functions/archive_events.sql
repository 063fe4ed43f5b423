-- Archive months of the event log by age. Both functions run with the rights of the tables' owner, so that the engine's
-- role needs no right to drop tables; they change only months of the log.

-- Detach the partition of a month from the log and record that it is to be archived. Returns its new table name, or null
-- if the month does not exist. The log is then complete only since the end of the month. Late events of that month get a
-- new partition.
CREATE OR REPLACE FUNCTION detach_event_month(p_month date, p_now timestamptz)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
AS $$
DECLARE
    partition_name text := 'campaign_events_' || to_char(p_month, 'YYYY_MM');
    archive_id bigint;
    archive_name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('ensure_event_partitions'));
    IF NOT EXISTS (
        SELECT FROM pg_inherits i
        WHERE i.inhparent = 'campaign_events'::regclass AND i.inhrelid = to_regclass(partition_name)
    ) THEN
        RETURN NULL;
    END IF;
    INSERT INTO campaign_archives (kind, month, begun_at)
    VALUES ('campaign_events', date_trunc('month', p_month), p_now)
    RETURNING id INTO archive_id;
    archive_name := 'archiving_events_' || archive_id;
    EXECUTE format('ALTER TABLE campaign_events DETACH PARTITION %I', partition_name);
    EXECUTE format('ALTER TABLE %I RENAME TO %I', partition_name, archive_name);
    EXECUTE format(
        'INSERT INTO campaign_archived_entries (archive_id, campaign_id, campaign_version, started, moved_in, moved_out) '
        'SELECT $1, e.campaign_id, v.campaign_version, '
        'count(DISTINCT e.enrollment_id) FILTER (WHERE e.event_type = ''enrollment_started''), '
        'count(*) FILTER (WHERE v.moved = 1), count(*) FILTER (WHERE v.moved = -1) '
        'FROM %I e CROSS JOIN LATERAL ('
        'SELECT e.campaign_version, CASE e.event_type WHEN ''enrollment_migrated'' THEN 1 ELSE 0 END AS moved '
        'UNION ALL SELECT CAST(e.event_data ->> ''from_version'' AS integer), -1 '
        'WHERE e.event_type = ''enrollment_migrated'') v '
        'WHERE e.event_type IN (''enrollment_started'', ''enrollment_migrated'') '
        'AND e.campaign_id IS NOT NULL AND v.campaign_version IS NOT NULL '
        'GROUP BY e.campaign_id, v.campaign_version',
        archive_name
    ) USING archive_id;
    UPDATE campaign_archives a SET table_name = archive_name WHERE a.id = archive_id;
    INSERT INTO campaign_retention_watermarks (kind, kept_from)
    VALUES ('log', (date_trunc('month', p_month::timestamp) + interval '1 month') AT TIME ZONE 'UTC')
    ON CONFLICT (kind) DO UPDATE SET kept_from = greatest(campaign_retention_watermarks.kept_from, excluded.kept_from);
    RETURN archive_name;
END
$$;

-- Drop a month whose file is written and was read back, and record the file.
CREATE OR REPLACE FUNCTION drop_archived_month(p_archive_id bigint, p_file text, p_rows bigint, p_now timestamptz)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
AS $$
DECLARE
    archive_name text;
    rows_there bigint;
BEGIN
    UPDATE campaign_archives a
    SET file = p_file, rows_archived = p_rows, archived_at = p_now
    WHERE a.id = p_archive_id AND a.archived_at IS NULL AND a.table_name = 'archiving_events_' || a.id
    RETURNING a.table_name INTO archive_name;
    IF archive_name IS NULL THEN
        RAISE EXCEPTION 'archive % is not being made', p_archive_id USING ERRCODE = 'no_data_found';
    END IF;
    EXECUTE format('SELECT count(*) FROM %I', archive_name) INTO rows_there;
    IF rows_there <> p_rows THEN
        RAISE EXCEPTION 'archive % has % rows, its table %', p_archive_id, p_rows, rows_there
            USING ERRCODE = 'data_exception';
    END IF;
    EXECUTE format('DROP TABLE %I', archive_name);
END
$$;
