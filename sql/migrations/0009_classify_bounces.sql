-- migrate: statement by statement
-- Soft bounces: addresses that repeatedly bounce without a delivery are suppressed with a reason of their own, and a
-- soft bounce that was followed by a delivery does not count as a bounce.

-- squawk-ignore ban-drop-constraint
ALTER TABLE campaign_suppressions DROP CONSTRAINT IF EXISTS campaign_suppressions_reason_check;
ALTER TABLE campaign_suppressions ADD CONSTRAINT campaign_suppressions_reason_check
    CHECK (reason IN ('unsubscribed', 'bounced', 'complained', 'manual', 'soft_bounced')) NOT VALID;
ALTER TABLE campaign_suppressions VALIDATE CONSTRAINT campaign_suppressions_reason_check;

-- The last bounce of a message that is not permanent; null once the message has bounced permanently. It is in
-- bounced_at, too, unless the message was delivered later.
ALTER TABLE campaign_message_outcomes ADD COLUMN IF NOT EXISTS soft_bounced_at timestamptz;

-- The functions that follow return this column too.
-- squawk-ignore ban-drop-function
DROP FUNCTION IF EXISTS message_outcomes_that_differ(timestamptz, timestamptz);
-- squawk-ignore ban-drop-function
DROP FUNCTION IF EXISTS message_outcomes_in_log(timestamptz, timestamptz);
