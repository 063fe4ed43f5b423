-- The events on whose arrival the exit rules of a version are evaluated; empty for most versions. `machine:` precedes the
-- type of an event by a machine, `any:` that of an event of another run, as in `waits_for`.
ALTER TABLE campaign_versions ADD COLUMN IF NOT EXISTS exit_events text [] NOT NULL DEFAULT '{}';
