-- Privileges on a platform with public roles (Supabase): requests from browsers run as `anon` and `authenticated`, and the
-- platform's default privileges grant these roles ALL on every new table, view, sequence and function. Row-level security
-- restricts rows and neither TRUNCATE nor calls of functions, so what is not needed is revoked, at each `drip db migrate`
-- and whenever a table is created later. The tests compare the result with tests/db/schema/relation_privileges.txt and
-- function_privileges.txt.

-- Enable row-level security on a table of the engine, where the platform's roles exist; do nothing elsewhere. service_role
-- may do everything, authenticated reads the rows of the workspaces that it may see (the application's policy on
-- `workspaces` decides which), anon has neither policies nor privileges. The engine's own roles, if they exist, see every
-- row. Replaces the function of the migration 0001. Policies that the table has are dropped: for new tables only.
CREATE OR REPLACE FUNCTION drip_protect_table(p_table regclass)
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    earlier record;
    role_name text;
    visible text;
BEGIN
    IF to_regrole('authenticated') IS NULL OR to_regrole('service_role') IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', p_table);
    FOR earlier IN SELECT p.polname FROM pg_policy p WHERE p.polrelid = p_table LOOP
        EXECUTE format('DROP POLICY %I ON %s', earlier.polname, p_table);
    END LOOP;
    EXECUTE format('REVOKE ALL ON %s FROM PUBLIC, authenticated', p_table);
    IF to_regrole('anon') IS NOT NULL THEN
        EXECUTE format('REVOKE ALL ON %s FROM anon', p_table);
    END IF;
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
    FOREACH role_name IN ARRAY ARRAY['drip_engine', 'drip_ingest', 'drip_trigger', 'drip_read'] LOOP
        IF to_regrole(role_name) IS NOT NULL THEN
            EXECUTE format(
                'CREATE POLICY %I ON %s TO %I USING (true) WITH CHECK (true)', role_name || '_all', p_table, role_name
            );
        END IF;
    END LOOP;
END
$$;

-- Set the privileges of the public roles on all objects of the engine, where these roles exist; do nothing elsewhere.
-- Statements are run only for differences, so that a call that finds none takes no lock. Returns the names of the
-- application's own tables among the base tables that public roles can reach without row-level security.
--
-- Tables: a public role keeps a privilege to read or write rows only if a policy is for it; on base tables that the engine
-- created, authenticated keeps them all, because the policies are the application's. TRUNCATE, REFERENCES and TRIGGER are
-- revoked. Base tables that an application created stay as they are.
-- Views: authenticated reads those that run with the caller's rights and whose tables it may read.
-- Functions with the caller's rights: for the service and for the engine's roles. Everybody may execute the canonical forms
-- of addresses, because indexes call them when an application writes contacts, and signed-in members the rates of an A/B
-- test. Functions with the owner's rights are in zz_function_privileges.sql.
CREATE OR REPLACE FUNCTION drip_set_privileges()
RETURNS TABLE (open_table text)
LANGUAGE plpgsql
AS $$
DECLARE
    base_tables CONSTANT text [] := ARRAY[
        'workspaces', 'contacts', 'drip_campaigns', 'campaign_steps', 'campaign_enrollments', 'campaign_channels'
    ];
    row_rights CONSTANT text [] := ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE'];
    public_roles CONSTANT oid [] := ARRAY(
        SELECT r.oid FROM pg_roles r WHERE r.rolname IN ('anon', 'authenticated') UNION ALL SELECT 0::oid
    );
    authenticated CONSTANT oid := to_regrole('authenticated');
    servers CONSTANT text [] := ARRAY(
        SELECT r.rolname::text
        FROM pg_roles r
        WHERE r.rolname IN ('service_role', 'drip_engine', 'drip_ingest', 'drip_trigger', 'drip_read')
    );
    item record;
    held record;
BEGIN
    IF authenticated IS NULL OR to_regrole('service_role') IS NULL THEN
        RETURN;
    END IF;

    CREATE TEMPORARY TABLE IF NOT EXISTS drip_own_relations (
        id oid PRIMARY KEY, kind text NOT NULL, is_base boolean NOT NULL, is_readable boolean NOT NULL DEFAULT false
    ) ON COMMIT DROP;
    DELETE FROM drip_own_relations;
    INSERT INTO drip_own_relations (id, kind, is_base)
    SELECT c.oid, o.kind, o.kind = 'table' AND o.name = ANY (base_tables)
    FROM drip_schema_objects o
    JOIN pg_class c
        ON c.relnamespace = current_schema()::regnamespace AND c.relname = o.name
        AND CASE o.kind WHEN 'table' THEN c.relkind IN ('r', 'p') WHEN 'view' THEN c.relkind = 'v' END;
    -- Months of the log; those that are being archived are detached from it.
    INSERT INTO drip_own_relations (id, kind, is_base)
    SELECT c.oid, 'table', false
    FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
      AND (
          c.relname ~ '^archiving_events_[0-9]+$'
          OR c.oid IN (SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = to_regclass('campaign_events'))
      )
    ON CONFLICT DO NOTHING;

    RETURN QUERY
    SELECT c.relname::text
    FROM drip_own_relations n
    JOIN pg_class c ON c.oid = n.id
    WHERE n.is_base AND NOT c.relrowsecurity
      AND EXISTS (
          SELECT FROM aclexplode(c.relacl) a
          WHERE a.grantee = ANY (public_roles) AND a.privilege_type = ANY (row_rights)
      )
    ORDER BY c.relname;
    DELETE FROM drip_own_relations n
    WHERE n.is_base
      AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = n.id AND p.polname = 'service_role_all');

    FOR item IN
        SELECT n.id FROM drip_own_relations n JOIN pg_class c ON c.oid = n.id
        WHERE n.kind = 'table' AND NOT n.is_base AND NOT c.relrowsecurity
    LOOP
        PERFORM drip_protect_table(item.id::regclass);
    END LOOP;

    INSERT INTO drip_own_relations (id, kind, is_base)
    SELECT d.objid, 'sequence', false
    FROM drip_own_relations n
    JOIN pg_depend d
        ON d.refclassid = 'pg_class'::regclass AND d.refobjid = n.id AND d.classid = 'pg_class'::regclass
        AND d.deptype IN ('a', 'i')
    JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
    ON CONFLICT DO NOTHING;

    UPDATE drip_own_relations n
    SET is_readable = true
    FROM pg_class c
    WHERE c.oid = n.id AND n.kind = 'view'
      AND c.reloptions && ARRAY['security_invoker=true', 'security_invoker=on', 'security_invoker=1']
      AND NOT EXISTS (
          SELECT FROM pg_depend d
          JOIN pg_rewrite r ON r.oid = d.objid
          JOIN pg_class t ON t.oid = d.refobjid AND t.relkind IN ('r', 'p', 'v', 'm')
          WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
            AND r.ev_class = n.id AND t.oid <> n.id
            AND NOT EXISTS (
                SELECT FROM pg_policy p
                WHERE p.polrelid = t.oid AND p.polcmd IN ('r', '*') AND p.polroles && ARRAY[authenticated, 0]
            )
      );
    FOR item IN
        SELECT n.id::regclass AS name FROM drip_own_relations n
        WHERE n.is_readable AND NOT has_table_privilege('authenticated', n.id, 'SELECT')
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO authenticated', item.name);
    END LOOP;

    FOR held IN
        SELECT
            n.id::regclass AS name, g.privilege_type, CASE n.kind WHEN 'sequence' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
            CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END AS grantee
        FROM drip_own_relations n
        JOIN pg_class c ON c.oid = n.id
        CROSS JOIN LATERAL (
            SELECT a.grantee, a.privilege_type FROM aclexplode(c.relacl) a
            UNION
            SELECT a.grantee, a.privilege_type
            FROM pg_attribute k CROSS JOIN LATERAL aclexplode(k.attacl) a
            WHERE k.attrelid = c.oid AND k.attacl IS NOT NULL
        ) g
        WHERE g.grantee = ANY (public_roles)
          AND NOT CASE n.kind
              WHEN 'sequence' THEN false
              WHEN 'view' THEN n.is_readable AND g.grantee = authenticated AND g.privilege_type = 'SELECT'
              ELSE g.privilege_type = ANY (row_rights) AND (
                  n.is_base AND g.grantee = authenticated
                  OR EXISTS (
                      SELECT FROM pg_policy p
                      WHERE p.polrelid = n.id AND p.polroles && ARRAY[g.grantee, 0]
                        AND p.polcmd IN ('*', CASE g.privilege_type
                            WHEN 'SELECT' THEN 'r' WHEN 'INSERT' THEN 'a' WHEN 'UPDATE' THEN 'w' ELSE 'd' END::"char")
                  )
              )
          END
    LOOP
        EXECUTE format('REVOKE %s ON %s %s FROM %s', held.privilege_type, held.kind, held.name, held.grantee);
    END LOOP;

    FOR item IN
        SELECT
            p.oid, p.oid::regprocedure AS signature, p.proname,
            p.proname NOT LIKE 'drip\_%' AND p.prorettype <> 'trigger'::regtype AS is_for_servers
        FROM pg_proc p
        JOIN drip_schema_objects o ON o.kind = 'function' AND o.name = p.proname
        WHERE p.pronamespace = current_schema()::regnamespace AND NOT p.prosecdef
          AND p.proname NOT IN (
              'canonical_address', 'canonical_email', 'canonical_phone', 'canonical_unicode_email',
              'canonical_written_phone'
          )
    LOOP
        FOR held IN
            SELECT
                CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
            FROM pg_proc p
            CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
            WHERE p.oid = item.oid AND a.grantee <> p.proowner
              AND NOT (item.is_for_servers AND a.grantee <> ALL (public_roles))
              AND NOT (
                  a.grantee = authenticated
                  AND item.proname IN (
                      'calculate_ab_test_metrics', 'count_ab_test_variants', 'count_ab_test_variants_until'
                  )
              )
        LOOP
            EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM %s', item.signature, held.grantee);
        END LOOP;
        FOR held IN
            SELECT quote_ident(s.name) AS grantee
            FROM (
                SELECT unnest(servers) AS name WHERE item.is_for_servers
                UNION ALL
                SELECT 'authenticated' WHERE item.proname IN (
                    'calculate_ab_test_metrics', 'count_ab_test_variants', 'count_ab_test_variants_until'
                )
            ) s
            WHERE NOT has_function_privilege(s.name, item.oid, 'EXECUTE')
        LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', item.signature, held.grantee);
        END LOOP;
    END LOOP;
END
$$;

-- Tools of migrations, on every server; platforms expose every function in public.
DO $$
DECLARE
    tool text;
    stranger text;
BEGIN
    FOREACH tool IN ARRAY ARRAY['drip_protect_table(regclass)', 'drip_set_privileges()'] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', tool);
        FOREACH stranger IN ARRAY ARRAY['anon', 'authenticated', 'service_role'] LOOP
            IF to_regrole(stranger) IS NOT NULL THEN
                EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %I', tool, stranger);
            END IF;
        END LOOP;
    END LOOP;
END
$$;
