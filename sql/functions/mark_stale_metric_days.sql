-- Notes that a day's figures are to be counted anew: messages went out that day, or something became of messages that did.
-- Days are those of the workspace's own time zone.
-- Statement-level: a batch costs one pass over what it wrote and a row for each day in it.
CREATE OR REPLACE FUNCTION mark_stale_metric_days()
RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
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

-- Another time zone of a workspace moves messages to the day before or after: all its days are to be counted anew, with
-- their neighbors. Whoever is writing messages is waited for, since their marks are of the old days; whoever comes later
-- marks the new ones. It runs with the rights of the tables' owner: an application may change the column by itself.
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

-- A function that runs with its owner's rights looks nowhere but in the schema that it was made in.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION mark_days_of_moved_workspace() SET search_path = %I, pg_temp', current_schema());
END
$$;

CREATE OR REPLACE TRIGGER mark_days_of_moved_workspace
    AFTER UPDATE OF time_zone ON workspaces
    FOR EACH ROW WHEN (NEW.time_zone IS DISTINCT FROM OLD.time_zone)
    EXECUTE FUNCTION mark_days_of_moved_workspace();
