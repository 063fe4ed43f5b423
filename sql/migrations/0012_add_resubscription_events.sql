-- A person who unsubscribed may subscribe again.
INSERT INTO campaign_event_types (event_type, channel, description) VALUES
    ('email_resubscribed', 'email', 'the recipient subscribed again'),
    ('sms_opted_in', 'sms', 'the recipient asked for messages again')
ON CONFLICT (event_type) DO NOTHING;
