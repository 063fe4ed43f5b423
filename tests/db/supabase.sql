-- What Supabase puts in a project's database, as its images of 2025 do it: the roles, the schema of accounts, the
-- functions that read a request's token, and the default privileges. Run as a superuser in an empty database; roles belong
-- to the whole server and are left as they are if they exist. `supabase_owner` is set by tests/db/supabase.py: the role
-- that the platform calls `postgres`, which is not a superuser there.

DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT * FROM (
            VALUES
            ('supabase_admin', 'SUPERUSER LOGIN'),
            ('supabase_auth_admin', 'NOINHERIT CREATEROLE LOGIN'),
            (current_setting('test.owner'), 'LOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS'),
            ('anon', 'NOLOGIN NOINHERIT'),
            ('authenticated', 'NOLOGIN NOINHERIT'),
            ('service_role', 'NOLOGIN NOINHERIT BYPASSRLS'),
            ('authenticator', 'LOGIN NOINHERIT')
        ) AS r (name, options)
    LOOP
        IF to_regrole(wanted.name) IS NULL THEN
            EXECUTE format('CREATE ROLE %I', wanted.name);
        END IF;
        EXECUTE format('ALTER ROLE %I %s', wanted.name, wanted.options);
    END LOOP;
    EXECUTE format('ALTER ROLE %I PASSWORD %L', current_setting('test.owner'), current_setting('test.password'));
    EXECUTE format('ALTER ROLE authenticator PASSWORD %L', current_setting('test.password'));
    EXECUTE format('GRANT anon, authenticated, service_role TO authenticator');
    EXECUTE format(
        'GRANT anon, authenticated, service_role, authenticator TO %I WITH ADMIN OPTION', current_setting('test.owner')
    );
    EXECUTE format('ALTER DATABASE %I OWNER TO %I', current_database(), current_setting('test.owner'));
    EXECUTE format('ALTER ROLE %I SET search_path TO "$user", public, extensions', current_setting('test.owner'));
END
$$;

ALTER ROLE anon SET statement_timeout = '3s';
ALTER ROLE authenticated SET statement_timeout = '8s';
ALTER ROLE authenticator SET statement_timeout = '8s';
ALTER ROLE authenticator SET lock_timeout = '8s';

CREATE SCHEMA extensions;
CREATE SCHEMA auth AUTHORIZATION supabase_admin;

CREATE TABLE auth.users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email text,
    raw_user_meta_data jsonb DEFAULT '{}',
    created_at timestamptz DEFAULT now()
);
ALTER TABLE auth.users OWNER TO supabase_auth_admin;
ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY;

CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')
    )::jsonb
$$;

CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')
    )::uuid
$$;

CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        nullif(current_setting('request.jwt.claim.role', true), ''),
        (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role')
    )::text
$$;

GRANT USAGE ON SCHEMA auth, extensions, public TO anon, authenticated, service_role;
GRANT ALL ON SCHEMA auth TO supabase_auth_admin;

-- The API's server reloads its description of the schema after each change.
CREATE FUNCTION extensions.pgrst_ddl_watch() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('pgrst', 'reload schema');
END
$$;
CREATE EVENT TRIGGER pgrst_ddl_watch ON ddl_command_end EXECUTE FUNCTION extensions.pgrst_ddl_watch();

-- Every object that the owner or the platform creates in public is granted to the roles of the API: only row-level
-- security stands before the rows, and nothing before TRUNCATE.
DO $$
DECLARE
    creator text;
    kind text;
BEGIN
    EXECUTE format('GRANT ALL ON SCHEMA public, extensions TO %I', current_setting('test.owner'));
    EXECUTE format('GRANT USAGE ON SCHEMA auth TO %I', current_setting('test.owner'));
    EXECUTE format('GRANT ALL ON auth.users TO %I', current_setting('test.owner'));
    FOREACH creator IN ARRAY ARRAY[current_setting('test.owner'), 'supabase_admin'] LOOP
        FOREACH kind IN ARRAY ARRAY['TABLES', 'FUNCTIONS', 'SEQUENCES'] LOOP
            EXECUTE format(
                'ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public GRANT ALL ON %s '
                'TO %I, anon, authenticated, service_role', creator, kind, current_setting('test.owner')
            );
        END LOOP;
    END LOOP;
END
$$;
