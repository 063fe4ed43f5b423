-- The topic that a version's messages belong to, as its graph has it.
ALTER TABLE campaign_versions ADD COLUMN IF NOT EXISTS topic text;
