-- migrate: statement by statement
-- What retrying rejected event lines, and reporting them, needs.

-- The issuer of the event ids, without which a repeated line is not recognized. NULL for lines stored before.
ALTER TABLE rejected_events ADD COLUMN IF NOT EXISTS provider text;
-- Serves the incident of a source whose lines are rejected: the lines of the last day.
CREATE INDEX CONCURRENTLY IF NOT EXISTS rejected_events_recent ON rejected_events (rejected_at);
