-- Whether the goal of a version ends runs. Versions of earlier releases keep behaving as they did: their goals count
-- conversions only.
ALTER TABLE campaign_versions ADD COLUMN IF NOT EXISTS goal_ends_runs boolean NOT NULL DEFAULT false;
