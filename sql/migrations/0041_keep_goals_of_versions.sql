-- The event that a version's campaign is for, and for how long after a message it counts as that message's doing.
-- Beside the compiled graph, so that arriving events find the campaigns that are for them without reading graphs.
ALTER TABLE campaign_versions
    ADD COLUMN IF NOT EXISTS goal_event_type text,
    ADD COLUMN IF NOT EXISTS goal_within interval;

ALTER TABLE campaign_versions
    ADD CONSTRAINT campaign_versions_goal_check
    CHECK ((goal_event_type IS NULL) = (goal_within IS NULL));

-- Serves the question whether an event, or a message that goes out, is any campaign's business.
CREATE INDEX IF NOT EXISTS campaign_versions_goal
    ON campaign_versions (campaign_id, goal_event_type) WHERE goal_event_type IS NOT NULL;
