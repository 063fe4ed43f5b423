-- Whether the goal of a version asks for more than the type of an event. Only then are events judged one by one before
-- they become conversions.
ALTER TABLE campaign_versions ADD COLUMN goal_is_narrowed boolean NOT NULL DEFAULT false;

-- It got another parameter: the versions whose goal the event does not reach.
-- squawk-ignore ban-drop-function
DROP FUNCTION IF EXISTS conversion_touches(uuid, text, timestamptz, uuid);
