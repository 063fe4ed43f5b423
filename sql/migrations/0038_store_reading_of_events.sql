-- Whether a version reads `event`: the properties of the event that ended the latest wait. Only then are they stored with
-- the states that the event resumes.
ALTER TABLE campaign_versions ADD COLUMN reads_event boolean NOT NULL DEFAULT false;
