-- Row-level security by workspace, where the platform's roles exist. A table in public without it would be open to the
-- world there. The engine connects as a role that bypasses it; the owner of the tables does so anyway.
DO $$
DECLARE
    protected text;
    has_platform boolean := (
        to_regrole('authenticated') IS NOT NULL AND to_regrole('service_role') IS NOT NULL
    );
    by_workspace boolean;
BEGIN
    IF NOT has_platform THEN
        RETURN;
    END IF;
    FOREACH protected IN ARRAY ARRAY[
        'campaign_workflow_states', 'campaign_events', 'campaign_event_types', 'contact_events',
        'ingested_event_keys', 'rejected_events', 'campaign_versions', 'campaign_ab_tests',
        'campaign_split_assignments', 'campaign_ab_test_results', 'campaign_ab_evaluations', 'campaign_ab_decisions',
        'campaign_deliveries', 'campaign_message_outcomes', 'recorded_messages', 'campaign_suppressions',
        'campaign_daily_metrics', 'stale_metric_days', 'campaign_batches', 'rejected_contacts',
        'drip_schema_migrations', 'campaign_events_default'
    ]
    LOOP
        IF to_regclass(protected) IS NULL THEN
            CONTINUE;
        END IF;
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', protected);
        EXECUTE format('GRANT ALL ON %I TO service_role', protected);
        IF NOT EXISTS (
            SELECT FROM pg_policies p WHERE p.tablename = protected AND p.policyname = 'service_role_all'
        ) THEN
            EXECUTE format('CREATE POLICY service_role_all ON %I TO service_role USING (true) WITH CHECK (true)', protected);
        END IF;
        by_workspace := EXISTS (
            SELECT FROM information_schema.columns k
            WHERE k.table_schema = current_schema() AND k.table_name = protected AND k.column_name = 'workspace_id'
        );
        -- Who may see a workspace is the platform's own rule on workspaces: a row is visible with its workspace.
        IF by_workspace AND NOT EXISTS (
            SELECT FROM pg_policies p WHERE p.tablename = protected AND p.policyname = 'workspace_read'
        ) THEN
            EXECUTE format(
                'CREATE POLICY workspace_read ON %I FOR SELECT TO authenticated '
                'USING (EXISTS (SELECT FROM workspaces w WHERE w.id = %I.workspace_id))', protected, protected
            );
        END IF;
    END LOOP;
END
$$;
