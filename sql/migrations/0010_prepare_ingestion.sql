-- What ingestion and the daily figures need beyond the first schema.

-- Serves finding the person whom an event names by address; providers do not keep the case of addresses.
CREATE INDEX IF NOT EXISTS contacts_address ON contacts (workspace_id, lower(email));

-- Messages with a click that looks like a scanner's; apart from `clicked`, as machine opens are from `opened`.
ALTER TABLE campaign_daily_metrics ADD COLUMN IF NOT EXISTS machine_clicked bigint NOT NULL DEFAULT 0;
