-- Say when an incident is over, by the routes that reported it: a notice reports that an incident was opened or that it was
-- resolved; `number` counts these reports, so that each has an identity of its own.

ALTER TABLE campaign_incident_notices
    ADD COLUMN reports text NOT NULL DEFAULT 'opened',
    ADD COLUMN number integer NOT NULL DEFAULT 1;
ALTER TABLE campaign_incident_notices
    ADD CONSTRAINT campaign_incident_notices_reports_check CHECK (reports IN ('opened', 'resolved')) NOT VALID;
ALTER TABLE campaign_incident_notices VALIDATE CONSTRAINT campaign_incident_notices_reports_check;
