-- Edits that another application made in the tables of a published campaign, noticed and not yet published.

-- What the campaign and its steps looked like when the version was published (campaign_content_hash); null before this.
ALTER TABLE campaign_versions ADD COLUMN IF NOT EXISTS content_hash text;

-- One row a campaign: the edit that stands in its tables. It goes when the edit is published or taken back.
CREATE TABLE IF NOT EXISTS campaign_edits (
    campaign_id uuid PRIMARY KEY REFERENCES drip_campaigns (id) ON DELETE CASCADE,
    workspace_id uuid NOT NULL,
    content_hash text NOT NULL,
    -- The version that was edited.
    base_version integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('valid', 'invalid')),
    problems jsonb NOT NULL DEFAULT '[]',
    changes text NOT NULL,
    noticed_at timestamptz NOT NULL
);

SELECT drip_protect_table('campaign_edits');
