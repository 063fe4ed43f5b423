-- Whether exit rules of a version read fields of the contact. Only then are runs of changed contacts judged again.
ALTER TABLE campaign_versions ADD COLUMN IF NOT EXISTS exits_follow_contacts boolean NOT NULL DEFAULT false;
