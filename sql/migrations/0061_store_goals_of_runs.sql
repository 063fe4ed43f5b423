-- Whether the goal of a version ties its event to the entry data of a run (`match`). Only then are events judged for each
-- run of a contact.
ALTER TABLE campaign_versions ADD COLUMN IF NOT EXISTS goal_is_per_run boolean NOT NULL DEFAULT false;
