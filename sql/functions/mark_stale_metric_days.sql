-- Mark a day's metrics as stale: messages were sent that day, or outcomes of its messages changed. Days are in the
-- workspace's time zone. Statement-level: a batch costs one pass over its rows and one row per day.
CREATE OR REPLACE FUNCTION mark_stale_metric_days()
RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF current_setting('drip.is_erasing', true) = 'on' THEN
        RETURN NULL;  -- other ids, the same numbers
    END IF;
    INSERT INTO stale_metric_days (workspace_id, metric_date)
    SELECT DISTINCT w.id, CAST(n.sent_at AT TIME ZONE w.time_zone AS date)
    FROM changed_rows n
    JOIN workspaces w ON w.id = n.workspace_id;
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

-- A new time zone of a workspace moves messages to the day before or after: all its days and their neighbors are
-- marked. The lock waits for transactions that are writing messages, because they mark the old days; later transactions
-- mark the new days. Runs with the rights of the tables' owner, because an application may change the column.
CREATE OR REPLACE FUNCTION mark_days_of_moved_workspace()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
AS $$
BEGIN
    LOCK TABLE campaign_message_outcomes IN SHARE MODE;
    INSERT INTO stale_metric_days (workspace_id, metric_date)
    SELECT DISTINCT NEW.id, d.metric_date + b.days
    FROM (
        SELECT m.metric_date FROM campaign_daily_metrics m WHERE m.workspace_id = NEW.id
        UNION
        SELECT s.metric_date FROM stale_metric_days s WHERE s.workspace_id = NEW.id
    ) d
    CROSS JOIN generate_series(-1, 1) AS b (days);
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER mark_days_of_moved_workspace
    AFTER UPDATE OF time_zone ON workspaces
    FOR EACH ROW WHEN (NEW.time_zone IS DISTINCT FROM OLD.time_zone)
    EXECUTE FUNCTION mark_days_of_moved_workspace();
