-- Notes that a day's figures are to be counted anew: messages went out that day, or something became of messages that did.
-- Statement-level: a batch costs one pass over what it wrote and a row for each day in it.
CREATE OR REPLACE FUNCTION mark_stale_metric_days()
RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO stale_metric_days (workspace_id, metric_date)
    SELECT DISTINCT n.workspace_id, CAST(n.sent_at AT TIME ZONE 'UTC' AS date)
    FROM changed_rows n;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER mark_days_of_new_outcomes
    AFTER INSERT ON campaign_message_outcomes
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_stale_metric_days();
CREATE OR REPLACE TRIGGER mark_days_of_changed_outcomes
    AFTER UPDATE ON campaign_message_outcomes
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_stale_metric_days();
