-- Record that a campaign's test has something new to count, so that the evaluation of every minute counts only what
-- changed. Statement-level: a batch of 10,000 messages costs one pass over its rows and one insert.
CREATE OR REPLACE FUNCTION mark_ab_test_changes()
RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF current_setting('drip.is_erasing', true) = 'on' THEN
        RETURN NULL;  -- other ids, the same numbers
    END IF;
    INSERT INTO campaign_ab_test_changes (campaign_id)
    SELECT c.campaign_id
    FROM (SELECT DISTINCT n.campaign_id FROM changed_rows n WHERE n.split_node_id IS NOT NULL) c
    WHERE EXISTS (
        SELECT FROM campaign_ab_tests t WHERE t.campaign_id = c.campaign_id AND t.status <> 'superseded'
    );
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER mark_new_assignments
    AFTER INSERT ON campaign_split_assignments
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_ab_test_changes();
CREATE OR REPLACE TRIGGER mark_changed_assignments
    AFTER UPDATE ON campaign_split_assignments
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_ab_test_changes();
CREATE OR REPLACE TRIGGER mark_new_outcomes
    AFTER INSERT ON campaign_message_outcomes
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_ab_test_changes();
CREATE OR REPLACE TRIGGER mark_changed_outcomes
    AFTER UPDATE ON campaign_message_outcomes
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION mark_ab_test_changes();
