-- Create the log's partitions for the month of p_now and the next one, and for earlier months (up to ten years back) with
-- events in the default partition, whose rows move into the new partition. Returns the number of partitions created.
-- Runs with the owner's rights, so that the engine's role needs no right to create tables.
--
-- The server chooses the partition of a new row before it locks the partition. A writer that had chosen the default
-- partition and then waited for the move below would fail ("violates partition constraint"). So the parent is locked
-- first: writers wait there, before they choose. While a long transaction has written to the log, the function returns
-- without a new partition instead of making other writers wait; rows then go to the default partition, and a later call
-- moves them.
CREATE OR REPLACE FUNCTION ensure_event_partitions(p_now timestamptz)
RETURNS integer
LANGUAGE plpgsql
SECURITY DEFINER
SET lock_timeout = '1s'
AS $$
DECLARE
    this_month timestamp := date_trunc('month', p_now AT TIME ZONE 'UTC');
    missing timestamp [];
    month_start timestamptz;
    month_end timestamptz;
    partition_name text;
    made integer := 0;
BEGIN
    -- Lock before reading: two engines that had both read the default partition would wait for each other.
    PERFORM pg_advisory_xact_lock(hashtext('ensure_event_partitions'));
    -- Months are in UTC. A month in another time zone would end on another day.
    SELECT array_agg(m.month ORDER BY m.month) INTO missing
    FROM (
        SELECT this_month + make_interval(months => ahead) AS month FROM generate_series(0, 1) AS ahead
        UNION
        SELECT date_trunc('month', d.created_at AT TIME ZONE 'UTC')
        FROM campaign_events_default d
        WHERE d.created_at >= (this_month - interval '10 years') AT TIME ZONE 'UTC'
          AND d.created_at < this_month AT TIME ZONE 'UTC'
    ) m
    WHERE to_regclass('campaign_events_' || to_char(m.month, 'YYYY_MM')) IS NULL;
    IF missing IS NULL THEN
        RETURN 0;
    END IF;
    -- No transaction may add a row of these months between the move and the attachment.
    LOCK TABLE ONLY campaign_events IN SHARE ROW EXCLUSIVE MODE;
    LOCK TABLE campaign_events_default IN ACCESS EXCLUSIVE MODE;
    FOR i IN 1 .. cardinality(missing) LOOP
        partition_name := 'campaign_events_' || to_char(missing[i], 'YYYY_MM');
        CONTINUE WHEN to_regclass(partition_name) IS NOT NULL;
        month_start := missing[i] AT TIME ZONE 'UTC';
        month_end := (missing[i] + interval '1 month') AT TIME ZONE 'UTC';
        EXECUTE format('CREATE TABLE %I (LIKE campaign_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition_name);
        EXECUTE format(
            'WITH moved AS (DELETE FROM campaign_events_default WHERE created_at >= $1 AND created_at < $2 RETURNING *) '
            'INSERT INTO %I SELECT * FROM moved', partition_name
        ) USING month_start, month_end;
        EXECUTE format(
            'ALTER TABLE campaign_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            partition_name, month_start, month_end
        );
        PERFORM drip_protect_table(partition_name::regclass);
        made := made + 1;
    END LOOP;
    RETURN made;
EXCEPTION WHEN lock_not_available THEN
    RETURN 0;
END
$$;

-- A function with its owner's rights resolves names only in the schema that it was created in.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION ensure_event_partitions(timestamptz) SET search_path = %I, pg_temp', current_schema());
END
$$;
