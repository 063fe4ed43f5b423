-- A message that a rule of time holds: the rule's name, and until when. It is held while its due time is `held_until`;
-- whatever else changes the due time ends the hold. Both are null in all other messages.
ALTER TABLE campaign_deliveries
    ADD COLUMN IF NOT EXISTS held_by text,
    ADD COLUMN IF NOT EXISTS held_until timestamptz;

INSERT INTO campaign_event_types (event_type, channel, description) VALUES
    ('message_held', 'workflow', 'a message waits because of a rule; the rule and the time are in its data')
ON CONFLICT (event_type) DO NOTHING;
