-- What the marketing messages of a workspace are about. People leave and join a topic by itself; campaign files name it.
CREATE TABLE IF NOT EXISTS workspace_topics (
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    -- As campaign files name it. Never changes; people see the title.
    name text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    title text NOT NULL,
    description text,
    -- Messages are sent only to people who have confirmed that they want them.
    double_opt_in boolean NOT NULL DEFAULT false,
    archived_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, name)
);

SELECT drip_protect_table('workspace_topics');

-- Whether an address gets messages of a topic. Without a row it does, unless the topic asks for a confirmation. The
-- history of changes is in the events topic_subscribed, topic_unsubscribed and topic_requested.
CREATE TABLE IF NOT EXISTS topic_consents (
    workspace_id uuid NOT NULL,
    topic text NOT NULL,
    -- In canonical form.
    address text NOT NULL,
    -- The person whose no also applies to addresses that they get later.
    contact_id uuid,
    status text NOT NULL CHECK (status IN ('subscribed', 'pending', 'unsubscribed')),
    -- A person does not lift what an operator has decided.
    decided_by text NOT NULL CHECK (decided_by IN ('person', 'operator')),
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, topic, address),
    FOREIGN KEY (workspace_id, topic) REFERENCES workspace_topics (workspace_id, name) ON DELETE CASCADE
);

-- Serves the eligibility check, and finding all consents of a person.
CREATE INDEX IF NOT EXISTS topic_consents_contact ON topic_consents (contact_id) WHERE contact_id IS NOT NULL;

SELECT drip_protect_table('topic_consents');

INSERT INTO campaign_event_types (event_type, channel, description) VALUES
    ('topic_requested', 'contact', 'the contact is asked to confirm a topic; the topic is in its data'),
    ('topic_subscribed', 'contact', 'the contact joined a topic, which is in its data'),
    ('topic_unsubscribed', 'contact', 'the contact left a topic, which is in its data')
ON CONFLICT (event_type) DO NOTHING;
