-- Contents of files attached to emails, taken at publishing. A published version names them by their hash, so that they
-- are never changed.
CREATE TABLE IF NOT EXISTS campaign_attachments (
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    -- SHA-256 of the content, in hexadecimal digits.
    digest text NOT NULL,
    content bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, digest)
);

SELECT drip_protect_table('campaign_attachments');
