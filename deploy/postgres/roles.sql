-- Least-privilege roles for your own PostgreSQL. Run this in the engine's database as a superuser, or as the owner of its
-- tables with CREATEROLE: before the first `drip db migrate` or later, and again after each migration. It can be repeated.
--
--   drip_owner   owns tables and functions; `drip db migrate` runs as it, and nothing else does
--   drip_engine  Dagster and `drip run` connect as it: reads and writes rows, no DDL
--   drip_ingest  `drip receive` connects as it: stores provider events, unsubscribes contacts, enrolls contacts that a
--                trigger webhook names
--   drip_read    dashboards connect as it: reads
--
-- These roles cannot log in and have no passwords. Create users in them:
--   CREATE ROLE drip_app LOGIN PASSWORD '…' IN ROLE drip_engine;
--   CREATE ROLE drip_migrations LOGIN PASSWORD '…' IN ROLE drip_owner;
--   ALTER ROLE drip_migrations SET role = 'drip_owner';  -- its objects belong to drip_owner
--
-- If an application must keep the ownership of the base tables: SET drip.keep_owner = 'on' first, in the same session;
-- migrations then run as that owner.

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['drip_owner', 'drip_engine', 'drip_ingest', 'drip_read'] LOOP
        BEGIN
            IF to_regrole(role_name) IS NULL THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- another session has created it
        END;
    END LOOP;
END
$$;

-- All objects of the migrations belong to drip_owner.
DO $$
DECLARE
    thing record;
BEGIN
    IF coalesce(current_setting('drip.keep_owner', true), '') = 'on' THEN
        RETURN;
    END IF;
    EXECUTE format('GRANT CREATE ON SCHEMA public TO drip_owner');
    EXECUTE format('GRANT TEMPORARY, CREATE ON DATABASE %I TO drip_owner', current_database());
    FOR thing IN
        SELECT c.oid::regclass AS name, CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind
        FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
            AND c.relowner <> to_regrole('drip_owner')
    LOOP
        EXECUTE format('ALTER %s %s OWNER TO drip_owner', thing.kind, thing.name);
    END LOOP;
    FOR thing IN
        SELECT p.oid::regprocedure AS name
        FROM pg_proc p
        JOIN pg_language l ON l.oid = p.prolang
        WHERE p.pronamespace = 'public'::regnamespace AND p.proowner <> to_regrole('drip_owner')
            AND l.lanname IN ('sql', 'plpgsql') AND p.prokind = 'f'
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO drip_owner', thing.name);
    END LOOP;
END
$$;

-- Only the owner creates objects in the schema. The engine needs temporary tables to copy rows in.
DO $$
BEGIN
    EXECUTE format('REVOKE CREATE ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format(
        'GRANT CONNECT, TEMPORARY ON DATABASE %I TO drip_owner, drip_engine, drip_ingest', current_database()
    );
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO drip_read', current_database());
END
$$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO drip_owner, drip_engine, drip_ingest, drip_read;

-- drip_engine: rows of every table; read-only on the table of applied migrations.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO drip_engine;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO drip_engine;
DO $$
DECLARE
    kept text;
BEGIN
    FOREACH kept IN ARRAY ARRAY['drip_schema_migrations', 'drip_schema_functions'] LOOP
        IF to_regclass(kept) IS NOT NULL THEN
            EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %I FROM drip_engine', kept);
        END IF;
    END LOOP;
END
$$;

-- drip_ingest: stores payloads but cannot read them again, suppresses addresses, creates and enrolls contacts that a
-- trigger webhook names, and reads the metrics of /metrics.
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT g.rights, t.name
        FROM (
            VALUES
            ('SELECT', ARRAY[
                'workspaces', 'demo_workspaces', 'contacts', 'drip_campaigns', 'campaign_versions', 'campaign_enrollments',
                'campaign_workflow_states', 'campaign_suppressions', 'trigger_calls', 'receiver_counts', 'campaign_deliveries',
                'campaign_message_outcomes', 'campaign_batches', 'channel_flow', 'stale_metric_days', 'campaign_incidents'
            ]),
            ('SELECT (id, status, due_at, received_at)', ARRAY['event_inbox']),
            ('INSERT', ARRAY[
                'event_inbox', 'receiver_counts', 'trigger_calls', 'contacts', 'campaign_enrollments',
                'campaign_suppressions', 'rejected_contacts'
            ]),
            ('UPDATE', ARRAY['receiver_counts', 'contacts']),
            -- Locking a campaign's row, so that it is not archived meanwhile, requires an UPDATE privilege on a column.
            ('UPDATE (updated_at)', ARRAY['drip_campaigns'])
        ) AS g (rights, names)
        CROSS JOIN unnest(g.names) AS t (name)
        WHERE to_regclass(t.name) IS NOT NULL
    LOOP
        EXECUTE format('GRANT %s ON %I TO drip_ingest', wanted.rights, wanted.name);
    END LOOP;
END
$$;

-- drip_read: SELECT on everything.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO drip_read;

-- Objects of later migrations get the same privileges.
DO $$
DECLARE
    owner text := CASE coalesce(current_setting('drip.keep_owner', true), '') WHEN 'on' THEN current_user ELSE 'drip_owner' END;
BEGIN
    EXECUTE format(
        'ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO drip_engine',
        owner
    );
    EXECUTE format(
        'ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public GRANT USAGE ON SEQUENCES TO drip_engine', owner
    );
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public GRANT SELECT ON TABLES TO drip_read', owner);
END
$$;

-- Functions that create or drop partitions of the event log run with the privileges of their owner: this is the only DDL
-- that drip_engine can run. No other role calls them.
DO $$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT p.oid::regprocedure AS name
        FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef
            AND p.proname IN ('ensure_event_partitions', 'detach_event_month', 'drop_archived_month')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', made.name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO drip_engine', made.name);
    END LOOP;
END
$$;

-- If a platform has enabled row-level security on the tables, the engine's roles see every row: access control is up to
-- the applications that connect as them.
DO $$
DECLARE
    secured record;
    role_name text;
BEGIN
    FOR secured IN
        SELECT c.oid::regclass AS name, c.oid
        FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relrowsecurity
    LOOP
        FOREACH role_name IN ARRAY ARRAY['drip_engine', 'drip_ingest', 'drip_read'] LOOP
            IF NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = secured.oid AND p.polname = role_name || '_all') THEN
                EXECUTE format(
                    'CREATE POLICY %I ON %s TO %I USING (true) WITH CHECK (true)',
                    role_name || '_all', secured.name, role_name
                );
            END IF;
        END LOOP;
    END LOOP;
END
$$;
