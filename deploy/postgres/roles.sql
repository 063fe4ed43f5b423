-- Least-privilege roles for your own PostgreSQL. Run this in the engine's database as a superuser, or as the owner of its
-- tables with CREATEROLE: before the first `drip db migrate` or later, and again after each migration. It can be repeated.
--
--   drip_owner   owns tables and functions; `drip db migrate` runs as it, and nothing else does
--   drip_engine  Dagster and `drip run` connect as it: reads and writes rows, no DDL
--   drip_ingest  `drip receive` connects as it: stores provider events, unsubscribes the recipient of a message; cannot
--                read contacts
--   drip_trigger `drip receive` connects as it if it serves trigger webhooks: also creates, changes and enrolls contacts of
--                campaigns with a webhook trigger, by functions; cannot read contacts
--   drip_read    dashboards connect as it: reads, except message bodies and payloads as received
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
    FOREACH role_name IN ARRAY ARRAY['drip_owner', 'drip_engine', 'drip_ingest', 'drip_trigger', 'drip_read'] LOOP
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
        'GRANT CONNECT, TEMPORARY ON DATABASE %I TO drip_owner, drip_engine', current_database()
    );
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM drip_ingest, drip_trigger', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO drip_ingest, drip_trigger, drip_read', current_database());
END
$$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO drip_owner, drip_engine, drip_ingest, drip_trigger, drip_read;

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

-- drip_ingest: stores payloads but cannot read them again, and counts requests. It reads and suppresses the recipient of a
-- message through functions (sql/functions/receiver.sql), and for /metrics reads columns that contain no personal data.
-- drip_trigger: the same, and merges and enrolls the contacts of a call through functions
-- (sql/functions/receiver_triggers.sql); it reads campaigns, rules and limits, which contain no personal data. Privileges
-- of earlier versions of this script are revoked.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM drip_ingest, drip_trigger;
GRANT drip_ingest TO drip_trigger;
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT g.role_name, g.rights, t.name
        FROM (
            VALUES
            ('drip_ingest', 'INSERT (provider, payload, context, received_at, due_at)', ARRAY['event_inbox']),
            ('drip_ingest', 'SELECT (id, status, due_at, received_at)', ARRAY['event_inbox']),
            ('drip_ingest', 'SELECT, INSERT, UPDATE', ARRAY['receiver_counts']),
            ('drip_ingest', 'SELECT', ARRAY['campaign_batches', 'channel_flow', 'stale_metric_days']),
            ('drip_ingest', 'SELECT (id, workspace_id, name, status, published_version)', ARRAY['drip_campaigns']),
            (
                'drip_ingest', 'SELECT (id, campaign_id, campaign_version, workflow_status, next_execution_at)',
                ARRAY['campaign_workflow_states']
            ),
            (
                'drip_ingest', 'SELECT (status, due_at, channel, campaign_id, transport, held_by, held_until)',
                ARRAY['campaign_deliveries']
            ),
            ('drip_ingest', 'SELECT (kind, opened_at, resolved_at)', ARRAY['campaign_incidents']),
            ('drip_trigger', 'SELECT (id, name, time_zone, default_region)', ARRAY['workspaces']),
            ('drip_trigger', 'SELECT (campaign_type, version, drip_settings, created_at)', ARRAY['drip_campaigns']),
            ('drip_trigger', 'SELECT (campaign_id, version, compiled_graph)', ARRAY['campaign_versions']),
            ('drip_trigger', 'SELECT', ARRAY['demo_workspaces', 'workspace_rules']),
            -- What limits of campaigns have counted.
            ('drip_trigger', 'SELECT, INSERT, UPDATE', ARRAY['campaign_guards']),
            ('drip_trigger', 'INSERT', ARRAY['trigger_calls', 'operator_actions']),
            -- Locking a campaign's row, so that it is not archived meanwhile, requires an UPDATE privilege on a column.
            ('drip_trigger', 'UPDATE (updated_at)', ARRAY['drip_campaigns'])
        ) AS g (role_name, rights, names)
        CROSS JOIN unnest(g.names) AS t (name)
        WHERE to_regclass(t.name) IS NOT NULL
    LOOP
        EXECUTE format('GRANT %s ON %I TO %I', wanted.rights, wanted.name, wanted.role_name);
    END LOOP;
END
$$;

-- drip_read: SELECT on everything but message bodies, which contain working links for unsubscribing, payloads as they were
-- received, and persons that are being erased. The views recorded_message_headers, event_inbox_status and rejected_event_reasons have the other columns.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO drip_read;
DO $$
DECLARE
    hidden record;
    shown text;
BEGIN
    FOR hidden IN
        SELECT * FROM (
            VALUES
            ('recorded_messages', ARRAY['preheader', 'body', 'body_html', 'payload']),
            ('event_inbox', ARRAY['payload', 'context']),
            ('rejected_events', ARRAY['raw'])
        ) AS h (name, columns)
        WHERE to_regclass(h.name) IS NOT NULL
    LOOP
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO shown
        FROM pg_attribute a
        WHERE a.attrelid = to_regclass(hidden.name) AND a.attnum > 0 AND NOT a.attisdropped
            AND a.attname <> ALL (hidden.columns);
        EXECUTE format('REVOKE ALL ON %I FROM drip_read', hidden.name);
        EXECUTE format('GRANT SELECT (%s) ON %I TO drip_read', shown, hidden.name);
    END LOOP;
    IF to_regclass('contact_erasure_values') IS NOT NULL THEN
        REVOKE ALL ON contact_erasure_values FROM drip_read;  -- persons that are being erased
    END IF;
END
$$;

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

-- Functions that run with the privileges of their owner: those that create or drop partitions of the event log, which is
-- the only DDL that drip_engine can run, and those of the receiver.
DO $$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT p.oid::regprocedure AS name
        FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef
            AND p.proname IN (
                'ensure_event_partitions', 'detach_event_month', 'drop_archived_month', 'receiver_recipient',
                'receiver_unsubscribe', 'receiver_topics', 'receiver_set_topics', 'receiver_resubscribe',
                'receiver_confirmation', 'receiver_confirm', 'receiver_left_at', 'trigger_merge_contacts',
                'trigger_contacts', 'trigger_enroll_contacts', 'trigger_earlier_call', 'count_entries_since',
                'count_contacts_entered', 'contacts_outside_topic'
            )
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', made.name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO drip_engine', made.name);
        IF CAST(made.name AS text) LIKE 'receiver%' THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO drip_ingest', made.name);
        ELSIF CAST(made.name AS text) ~ '^(trigger|count|contacts)_' THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO drip_trigger', made.name);
        END IF;
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
        FOREACH role_name IN ARRAY ARRAY['drip_engine', 'drip_ingest', 'drip_trigger', 'drip_read'] LOOP
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

-- On a platform with public roles, functions are not for everybody: the engine's roles get theirs.
DO $$
BEGIN
    IF to_regprocedure('drip_set_privileges()') IS NOT NULL THEN
        PERFORM drip_set_privileges();
    END IF;
END
$$;
