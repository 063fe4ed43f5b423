-- People may move to another version of their campaign while they are inside it.
INSERT INTO campaign_event_types (event_type, channel, description) VALUES
    ('enrollment_migrated', 'lifecycle', 'the person moved to another version of the campaign')
ON CONFLICT (event_type) DO NOTHING;
