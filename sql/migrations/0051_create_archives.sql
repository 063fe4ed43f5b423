-- What was taken out of the database by age, and from when on each kind of data is whole.

CREATE TABLE IF NOT EXISTS campaign_retention_watermarks (
    kind text PRIMARY KEY CHECK (kind IN ('log', 'deliveries')),
    kept_from timestamptz NOT NULL
);

-- Files of events. A month of the log is first taken off the log (`table_name`), then written and read back, then
-- dropped: whatever dies in between, the next run goes on there.
CREATE TABLE IF NOT EXISTS campaign_archives (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('campaign_events', 'contact_events')),
    month date NOT NULL,
    table_name text,
    file text,
    rows_archived bigint,
    begun_at timestamptz NOT NULL,
    archived_at timestamptz,
    CHECK ((archived_at IS NULL) = (file IS NULL)),
    CHECK ((archived_at IS NULL) = (rows_archived IS NULL))
);

-- What archived months say of who entered which version: the books are balanced against it for ever.
CREATE TABLE IF NOT EXISTS campaign_archived_entries (
    archive_id bigint NOT NULL REFERENCES campaign_archives (id) ON DELETE CASCADE,
    campaign_id uuid NOT NULL,
    campaign_version integer NOT NULL,
    started bigint NOT NULL,
    moved_in bigint NOT NULL,
    moved_out bigint NOT NULL,
    PRIMARY KEY (archive_id, campaign_id, campaign_version)
);

SELECT
    drip_protect_table('campaign_archived_entries'),
    drip_protect_table('campaign_retention_watermarks'),
    drip_protect_table('campaign_archives');
