-- Frequency caps: what each contact was sent, and the locks under which it is counted. Both are empty without caps.
-- One row per contact that a capped message was due for. A transaction that counts the messages of a contact holds its row locked; the
-- contact itself is not locked, because applications update it.
CREATE TABLE IF NOT EXISTS contact_cap_locks (
    contact_id uuid PRIMARY KEY REFERENCES contacts (id) ON DELETE CASCADE,
    workspace_id uuid NOT NULL
);

-- A message that counts in caps since it was reserved, just before it was sent. A message that was skipped or failed
-- after that does not count.
CREATE TABLE IF NOT EXISTS contact_sends (
    contact_id uuid NOT NULL REFERENCES contact_cap_locks (contact_id) ON DELETE CASCADE,
    delivery_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    channel text NOT NULL,
    counted_at timestamptz NOT NULL,
    PRIMARY KEY (contact_id, delivery_id)
);

-- The priority of a message that caps may hold, null for all others. It is set while the workspace has caps.
ALTER TABLE campaign_deliveries ADD COLUMN IF NOT EXISTS cap_priority integer;

SELECT drip_protect_table('contact_cap_locks'), drip_protect_table('contact_sends');
