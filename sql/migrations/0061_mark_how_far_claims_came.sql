-- How far the claims of a campaign came, so that the next one need not read through what was moved already. A hint and
-- no more: who is due before the mark is found when a claim from the mark on finds nobody, and once it is five minutes old.
CREATE TABLE IF NOT EXISTS campaign_claim_watermarks (
    campaign_id uuid PRIMARY KEY,
    due_from timestamptz NOT NULL,
    valid_since timestamptz NOT NULL
);
ALTER TABLE campaign_claim_watermarks SET (fillfactor = 50);
SELECT drip_protect_table('campaign_claim_watermarks');
