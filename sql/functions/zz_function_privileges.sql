-- Privileges of the functions that run with their owner's rights. By default every role may execute a function, and a
-- platform's default privileges grant it by name to the roles of its public API: `anon` could drop a month of the log.
-- Each of these functions is revoked from all of them, searches only the schema that it was created in, and is granted
-- to the roles that are listed here. Trigger functions need no grant, because the right to execute them is checked only
-- when a trigger is created.
--
-- This file is applied last, because files of functions are applied in the order of their names. A test compares the
-- privileges of all functions with tests/db/schema/function_privileges.txt.
DO $$
DECLARE
    entry record;
    role_name text;
BEGIN
    FOR entry IN
        SELECT p.oid::regprocedure AS signature, l.granted_to
        FROM (
            VALUES
            ('ensure_event_partitions', ARRAY['drip_engine']),
            ('detach_event_month', ARRAY['drip_engine']),
            ('drop_archived_month', ARRAY['drip_engine']),
            ('receiver_recipient', ARRAY['drip_engine', 'drip_ingest']),
            ('receiver_unsubscribe', ARRAY['drip_engine', 'drip_ingest']),
            ('receiver_left_at', ARRAY['drip_engine', 'drip_ingest']),
            ('receiver_topics', ARRAY['drip_engine', 'drip_ingest']),
            ('receiver_set_topics', ARRAY['drip_engine', 'drip_ingest']),
            ('receiver_resubscribe', ARRAY['drip_engine', 'drip_ingest']),
            ('receiver_confirmation', ARRAY['drip_engine', 'drip_ingest']),
            ('receiver_confirm', ARRAY['drip_engine', 'drip_ingest']),
            ('trigger_merge_contacts', ARRAY['drip_engine', 'drip_trigger']),
            ('trigger_contacts', ARRAY['drip_engine', 'drip_trigger']),
            ('trigger_enroll_contacts', ARRAY['drip_engine', 'drip_trigger']),
            ('trigger_earlier_call', ARRAY['drip_engine', 'drip_trigger']),
            ('count_entries_since', ARRAY['drip_engine', 'drip_trigger']),
            ('count_contacts_entered', ARRAY['drip_engine', 'drip_trigger']),
            ('contacts_outside_topic', ARRAY['drip_engine', 'drip_trigger']),
            ('create_workflow_state_on_enrollment', CAST('{}' AS text [])),
            ('fill_enrollment_workspace', '{}'),
            ('fill_workflow_state', '{}'),
            ('announce_followed_contacts', '{}'),
            ('queue_followed_contacts', '{}'),
            ('queue_matching_contacts', '{}'),
            ('queue_contact_events', '{}'),
            ('queue_campaign_events', '{}'),
            ('sync_entry_trigger_of_campaign', '{}'),
            ('sync_wait_listeners_of_campaign', '{}'),
            ('mark_days_of_moved_workspace', '{}'),
            ('record_deleted_enrollments', '{}'),
            ('record_contact_erasures', '{}')
        ) AS l (name, granted_to)
        JOIN pg_proc p ON p.proname = l.name
        WHERE p.pronamespace = current_schema()::regnamespace AND p.prosecdef
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', entry.signature, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', entry.signature);
        FOREACH role_name IN ARRAY ARRAY['anon', 'authenticated', 'service_role'] LOOP
            IF to_regrole(role_name) IS NOT NULL THEN
                EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %I', entry.signature, role_name);
            END IF;
        END LOOP;
        FOREACH role_name IN ARRAY entry.granted_to LOOP
            IF to_regrole(role_name) IS NOT NULL THEN
                EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', entry.signature, role_name);
            END IF;
        END LOOP;
    END LOOP;
END
$$;
