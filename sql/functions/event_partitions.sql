-- Makes the log's partitions for the month of p_now and the next one, if they are missing, and returns how many were
-- made. Rows that fell into the default partition meanwhile move into the new one.
CREATE OR REPLACE FUNCTION ensure_event_partitions(p_now timestamptz)
RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
    month_start timestamptz;
    partition_name text;
    made integer := 0;
BEGIN
    FOR month_start IN
        SELECT (date_trunc('month', p_now AT TIME ZONE 'UTC') + make_interval(months => ahead)) AT TIME ZONE 'UTC'
        FROM generate_series(0, 1) AS ahead
    LOOP
        partition_name := 'campaign_events_' || to_char(month_start AT TIME ZONE 'UTC', 'YYYY_MM');
        CONTINUE WHEN to_regclass(partition_name) IS NOT NULL;
        PERFORM pg_advisory_xact_lock(hashtext('ensure_event_partitions'));
        CONTINUE WHEN to_regclass(partition_name) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE campaign_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition_name);
        EXECUTE format(
            'WITH moved AS (DELETE FROM campaign_events_default WHERE created_at >= $1 AND created_at < $2 RETURNING *) '
            'INSERT INTO %I SELECT * FROM moved', partition_name
        ) USING month_start, month_start + interval '1 month';
        EXECUTE format(
            'ALTER TABLE campaign_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            partition_name, month_start, (month_start AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC'
        );
        IF (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = 'campaign_events'::regclass) THEN
            EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', partition_name);
        END IF;
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
