-- Views for dashboards: recorded messages, the inbox and rejected events without message bodies (which contain working
-- links for unsubscribing) and without payloads as they were received. They run with the rights of the caller, whose role
-- need not have a privilege on the other columns; deploy/postgres/roles.sql grants drip_read no more than these columns.
CREATE VIEW recorded_message_headers WITH (security_invoker = true) AS
SELECT
    m.id, m.delivery_id, m.workspace_id, m.campaign_id, m.enrollment_id, m.node_id, m.channel, m.recipient, m.subject,
    m.recorded_at
FROM recorded_messages m;

CREATE VIEW event_inbox_status WITH (security_invoker = true) AS
SELECT i.id, i.provider, i.received_at, i.status, i.due_at, i.attempts, i.reason, i.settled_at
FROM event_inbox i;

CREATE VIEW rejected_event_reasons WITH (security_invoker = true) AS
SELECT r.id, r.workspace_id, r.source, r.line_number, r.reason, r.rejected_at
FROM rejected_events r;
