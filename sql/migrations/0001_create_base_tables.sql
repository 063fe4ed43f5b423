-- Functions that the migrations share, then the tables that an application already has, created only where they are
-- missing. Existing tables keep their rows and any columns beyond these.

-- Enable row-level security on a table that the engine adds, where the platform's roles exist; do nothing elsewhere.
-- Without it, a table in public would be readable by everybody there. All policies are written here: service_role may
-- do everything, authenticated reads the rows of the workspaces it may see (the platform's own policy on `workspaces`
-- decides which), anon has no policy and sees nothing. The engine connects as the owner, which bypasses them.
CREATE OR REPLACE FUNCTION drip_protect_table(p_table regclass)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    earlier record;
    visible text;
BEGIN
    IF to_regrole('authenticated') IS NULL OR to_regrole('service_role') IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', p_table);
    FOR earlier IN SELECT p.polname FROM pg_policy p WHERE p.polrelid = p_table LOOP
        EXECUTE format('DROP POLICY %I ON %s', earlier.polname, p_table);
    END LOOP;
    EXECUTE format('GRANT ALL ON %s TO service_role', p_table);
    EXECUTE format('CREATE POLICY service_role_all ON %s TO service_role USING (true) WITH CHECK (true)', p_table);
    SELECT CASE a.attname
        WHEN 'workspace_id' THEN 'workspace_id IN (SELECT w.id FROM workspaces w)'
        ELSE 'campaign_id IN (SELECT c.id FROM drip_campaigns c)'
    END
    INTO visible
    FROM pg_attribute a
    WHERE a.attrelid = p_table AND a.attname IN ('workspace_id', 'campaign_id') AND NOT a.attisdropped
    ORDER BY a.attname DESC
    LIMIT 1;
    IF visible IS NOT NULL THEN
        EXECUTE format('GRANT SELECT ON %s TO authenticated', p_table);
        EXECUTE format('CREATE POLICY workspace_read ON %s FOR SELECT TO authenticated USING (%s)', p_table, visible);
    END IF;
END
$$;

-- Drop the constraints of one kind (as in pg_constraint.contype) on exactly these columns, whatever their names:
-- names differ between databases, and the constraints that replace them have names of their own.
CREATE OR REPLACE FUNCTION drip_drop_constraints(p_table regclass, p_kind text, VARIADIC p_columns text [])
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    earlier record;
BEGIN
    FOR earlier IN
        SELECT c.conname
        FROM pg_constraint c
        WHERE c.conrelid = p_table
          AND c.contype::text = p_kind
          AND (
              SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE "C")
              FROM pg_attribute a
              WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
          ) = (SELECT array_agg(k.name ORDER BY k.name COLLATE "C") FROM unnest(p_columns) AS k (name))
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', p_table, earlier.conname);
    END LOOP;
END
$$;

-- Remove what an earlier design put on these columns of a table: foreign keys, checks, unique keys and secondary
-- indexes. Objects that touch an application's own columns stay, and so does the primary key.
CREATE OR REPLACE FUNCTION drip_strip_table(p_table regclass, VARIADIC p_columns text [])
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    earlier record;
BEGIN
    FOR earlier IN
        SELECT c.conname
        FROM pg_constraint c
        WHERE c.conrelid = p_table
          AND c.contype IN ('f', 'c', 'u')
          AND NOT EXISTS (
              SELECT FROM pg_attribute a
              WHERE a.attrelid = p_table AND a.attnum = ANY (c.conkey) AND a.attname::text <> ALL (p_columns)
          )
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', p_table, earlier.conname);
    END LOOP;
    FOR earlier IN
        SELECT x.indexrelid::regclass AS name
        FROM pg_index x
        WHERE x.indrelid = p_table
          AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = x.indexrelid)
          AND NOT EXISTS (
              SELECT FROM pg_depend d
              JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
              WHERE d.classid = 'pg_class'::regclass AND d.objid = x.indexrelid
                AND d.refclassid = 'pg_class'::regclass AND d.refobjid = p_table
                AND a.attname::text <> ALL (p_columns)
          )
    LOOP
        EXECUTE format('DROP INDEX %s', earlier.name);
    END LOOP;
END
$$;

-- Disable the table's own triggers while a new column is filled: that is not a change that an application's
-- `updated_at` or its notifications should report. Return their names for `drip_enable_triggers`; a trigger that was
-- disabled before stays disabled.
CREATE OR REPLACE FUNCTION drip_disable_triggers(p_table regclass)
RETURNS text []
LANGUAGE plpgsql
AS $$
DECLARE
    disabled text [];
    trigger_name text;
BEGIN
    SELECT coalesce(array_agg(t.tgname::text), '{}') INTO disabled
    FROM pg_trigger t WHERE t.tgrelid = p_table AND NOT t.tgisinternal AND t.tgenabled = 'O';
    FOREACH trigger_name IN ARRAY disabled LOOP
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER %I', p_table, trigger_name);
    END LOOP;
    RETURN disabled;
END
$$;

CREATE OR REPLACE FUNCTION drip_enable_triggers(p_table regclass, p_names text [])
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    trigger_name text;
BEGIN
    FOREACH trigger_name IN ARRAY p_names LOOP
        EXECUTE format('ALTER TABLE %s ENABLE TRIGGER %I', p_table, trigger_name);
    END LOOP;
END
$$;

-- Save the definitions of views (options, indexes, owner, grants, comment) that depend on these tables, and drop the
-- views, because views block a change of a column's type. `drip_restore_dependents` creates them again within the
-- same transaction. With p_replaced, also save the tables' own triggers and grants and the functions that use their
-- row types.
CREATE OR REPLACE FUNCTION drip_save_dependents(p_replaced boolean, VARIADIC p_tables regclass [])
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    item record;
BEGIN
    CREATE TEMPORARY TABLE IF NOT EXISTS drip_saved_objects (
        ordinal bigint GENERATED ALWAYS AS IDENTITY, statement text NOT NULL, undo text
    ) ON COMMIT DROP;
    IF p_replaced THEN
        INSERT INTO drip_saved_objects (statement)
        SELECT format('GRANT %s ON %s TO %s', g.privilege_type, c.oid::regclass, coalesce(g.grantee::regrole::text, 'PUBLIC'))
        FROM pg_class c
        CROSS JOIN LATERAL (SELECT nullif(a.grantee, 0) AS grantee, a.privilege_type FROM aclexplode(c.relacl) a) g
        WHERE c.oid = ANY (p_tables);
        INSERT INTO drip_saved_objects (statement)
        SELECT pg_get_triggerdef(t.oid)
        FROM pg_trigger t WHERE t.tgrelid = ANY (p_tables) AND NOT t.tgisinternal
        ORDER BY t.tgname;
        INSERT INTO drip_saved_objects (statement, undo)
        SELECT pg_get_functiondef(p.oid), format('DROP FUNCTION %s', p.oid::regprocedure)
        FROM pg_proc p
        WHERE p.oid IN (
            SELECT d.objid
            FROM pg_class c
            JOIN pg_type r ON r.oid = c.reltype
            JOIN pg_depend d ON d.classid = 'pg_proc'::regclass
                AND (d.refclassid, d.refobjid) IN (
                    ('pg_class'::regclass, c.oid), ('pg_type'::regclass, r.oid), ('pg_type'::regclass, r.typarray)
                )
            WHERE c.oid = ANY (p_tables)
        )
        ORDER BY p.oid;
    END IF;
    FOR item IN
        WITH RECURSIVE dependents AS (
            SELECT t.id, 0 AS depth FROM unnest(p_tables::oid []) AS t (id)
            UNION
            SELECT r.ev_class, n.depth + 1
            FROM dependents n
            JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass
                AND d.refclassid = 'pg_class'::regclass AND d.refobjid = n.id
            JOIN pg_rewrite r ON r.oid = d.objid AND r.ev_class <> n.id
        )
        SELECT
            c.oid, c.oid::regclass AS name, c.relowner::regrole AS owner, c.relacl,
            CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END AS kind,
            CASE WHEN c.relkind = 'm' AND NOT c.relispopulated THEN ' WITH NO DATA' ELSE '' END AS filled,
            coalesce(' WITH (' || array_to_string(c.reloptions, ', ') || ')', '') AS options,
            rtrim(pg_get_viewdef(c.oid), ';') AS definition
        FROM (SELECT n.id, max(n.depth) AS depth FROM dependents n GROUP BY n.id) n
        JOIN pg_class c ON c.oid = n.id AND c.relkind IN ('v', 'm')
        ORDER BY n.depth, c.oid
    LOOP
        INSERT INTO drip_saved_objects (statement, undo) VALUES (
            format('CREATE %s %s%s AS %s%s', item.kind, item.name, item.options, item.definition, item.filled),
            format('DROP %s %s', item.kind, item.name)
        );
        INSERT INTO drip_saved_objects (statement)
        SELECT pg_get_indexdef(x.indexrelid) FROM pg_index x WHERE x.indrelid = item.oid ORDER BY x.indexrelid;
        INSERT INTO drip_saved_objects (statement)
        SELECT pg_get_triggerdef(t.oid)
        FROM pg_trigger t WHERE t.tgrelid = item.oid AND NOT t.tgisinternal ORDER BY t.tgname;
        -- Default privileges must not grant access to a view that had none.
        INSERT INTO drip_saved_objects (statement)
        SELECT DISTINCT format('REVOKE ALL ON %s FROM %s', item.name, coalesce(nullif(a.grantee, 0)::regrole::text, 'PUBLIC'))
        FROM pg_default_acl f CROSS JOIN LATERAL aclexplode(f.defaclacl) a
        WHERE f.defaclobjtype = 'r' AND a.grantee <> item.owner::oid;
        INSERT INTO drip_saved_objects (statement)
        SELECT format(
            'GRANT %s ON %s TO %s%s', a.privilege_type, item.name, coalesce(nullif(a.grantee, 0)::regrole::text, 'PUBLIC'),
            CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
        )
        FROM aclexplode(item.relacl) a;
        INSERT INTO drip_saved_objects (statement)
        SELECT format('COMMENT ON %s %s IS %L', item.kind, item.name, o.description)
        FROM pg_description o
        WHERE o.classoid = 'pg_class'::regclass AND o.objoid = item.oid AND o.objsubid = 0;
        INSERT INTO drip_saved_objects (statement)
        SELECT format('ALTER %s %s OWNER TO %s', item.kind, item.name, item.owner)
        WHERE item.owner::text <> quote_ident(current_user);
    END LOOP;
    FOR item IN SELECT a.undo FROM drip_saved_objects a WHERE a.undo IS NOT NULL ORDER BY a.ordinal DESC LOOP
        EXECUTE item.undo;
    END LOOP;
    UPDATE drip_saved_objects SET undo = NULL;
END
$$;

CREATE OR REPLACE FUNCTION drip_restore_dependents()
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    item record;
BEGIN
    IF to_regclass('pg_temp.drip_saved_objects') IS NULL THEN
        RETURN;
    END IF;
    FOR item IN SELECT a.statement FROM drip_saved_objects a ORDER BY a.ordinal LOOP
        EXECUTE item.statement;
    END LOOP;
    DELETE FROM drip_saved_objects;
END
$$;

-- These functions are for migrations only: platforms expose every function in public.
DO $$
DECLARE
    tool record;
    stranger text;
BEGIN
    FOR tool IN
        SELECT p.oid::regprocedure AS signature
        FROM pg_proc p
        WHERE p.pronamespace = current_schema()::regnamespace
          AND p.proname IN (
              'drip_protect_table', 'drip_drop_constraints', 'drip_strip_table', 'drip_disable_triggers',
              'drip_enable_triggers', 'drip_save_dependents', 'drip_restore_dependents'
          )
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', tool.signature);
        FOREACH stranger IN ARRAY ARRAY['anon', 'authenticated', 'service_role'] LOOP
            IF to_regrole(stranger) IS NOT NULL THEN
                EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %I', tool.signature, stranger);
            END IF;
        END LOOP;
    END LOOP;
END
$$;

-- Tables that this migration creates and therefore protects; the others belong to the application.
CREATE TEMPORARY TABLE drip_missing_tables ON COMMIT DROP AS
SELECT t.name
FROM unnest(
    ARRAY['workspaces', 'contacts', 'drip_campaigns', 'campaign_steps', 'campaign_enrollments', 'campaign_channels']
) AS t (name)
WHERE to_regclass(t.name) IS NULL;

CREATE TABLE IF NOT EXISTS workspaces (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id uuid,
    name text NOT NULL
);

CREATE TABLE IF NOT EXISTS contacts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    name text,
    email text,
    company text,
    phone text,
    job_title text,
    ai_score integer DEFAULT 0 CHECK (ai_score BETWEEN 0 AND 100),
    status text DEFAULT 'prospect' CHECK (status IN ('prospect', 'lead', 'customer', 'contact')),
    tags text[] DEFAULT '{}',
    custom_fields jsonb DEFAULT '{}',
    last_interaction timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, email)
);

CREATE TABLE IF NOT EXISTS drip_campaigns (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    name text NOT NULL,
    description text,
    sequence_type text NOT NULL DEFAULT 'custom'
        CHECK (sequence_type IN ('cold_outreach', 'lead_nurture', 'onboarding', 're_engagement', 'custom')),
    goal text,
    status text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'active', 'paused', 'archived')),
    total_steps integer DEFAULT 0,
    is_template boolean DEFAULT false,
    tags text[] DEFAULT '{}',
    metrics jsonb DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS campaign_steps (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    campaign_id uuid NOT NULL REFERENCES drip_campaigns (id) ON DELETE CASCADE,
    step_number integer,
    step_name text,
    day_delay integer DEFAULT 0,
    subject_line text,
    preheader_text text,
    email_body text,
    email_body_html text,
    cta jsonb,
    conditional_logic jsonb,
    metrics jsonb DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (campaign_id, step_number)
);

CREATE TABLE IF NOT EXISTS campaign_enrollments (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    campaign_id uuid NOT NULL REFERENCES drip_campaigns (id) ON DELETE CASCADE,
    contact_id uuid NOT NULL REFERENCES contacts (id) ON DELETE CASCADE,
    contact_email text,
    contact_name text,
    current_step integer DEFAULT 0,
    status text NOT NULL DEFAULT 'active'
        CHECK (status IN ('active', 'paused', 'completed', 'unsubscribed', 'bounced')),
    started_at timestamptz NOT NULL DEFAULT now(),
    last_email_sent_at timestamptz,
    next_email_scheduled_at timestamptz,
    completed_at timestamptz,
    interaction_history jsonb DEFAULT '[]',
    personalization_data jsonb DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (campaign_id, contact_id)
);

CREATE TABLE IF NOT EXISTS campaign_channels (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    channel_slug text NOT NULL,
    channel_name text NOT NULL,
    channel_category text NOT NULL
        CHECK (channel_category IN ('website', 'blog', 'social', 'email', 'video', 'advertising')),
    platform text,
    is_active boolean NOT NULL DEFAULT true,
    specs jsonb DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, channel_slug)
);

SELECT drip_protect_table(m.name::regclass) FROM drip_missing_tables m ORDER BY m.name;
