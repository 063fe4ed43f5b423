-- What stays of an event's properties when its contact is erased: what metrics are computed from, in forms that hold no
-- personal data. Properties of the engine's own events have meanings; those of other sources are free.
CREATE OR REPLACE FUNCTION erased_event_data(p_event_type text, p_event_source text, p_data jsonb)
RETURNS jsonb
LANGUAGE sql
IMMUTABLE
AS $$
    SELECT CASE
        WHEN jsonb_typeof(p_data) IS DISTINCT FROM 'object' OR p_data = '{}' THEN '{}'
        ELSE jsonb_strip_nulls(
            jsonb_build_object(
                'machine', CASE WHEN jsonb_typeof(p_data -> 'machine') = 'boolean' THEN p_data -> 'machine' END,
                'bounce_type',
                CASE
                    WHEN p_data ->> 'bounce_type' IN ('permanent', 'soft', 'blocked') THEN p_data -> 'bounce_type'
                END,
                -- As a number is read: text in the form of a number counts in sums, too.
                'value',
                CASE
                    WHEN p_data ->> 'value' ~ '^\s*[-+]?\d{1,12}(\.\d{0,9})?([eE][-+]?\d{1,2})?\s*$'
                        THEN p_data -> 'value'
                END,
                'currency', CASE WHEN p_data ->> 'currency' ~ '^\s*[A-Za-z]{3}\s*$' THEN p_data -> 'currency' END
            )
            || CASE
                WHEN p_event_source = 'system' THEN jsonb_build_object(
                    'certainty', CASE WHEN p_data ->> 'certainty' IN ('known', 'unknown') THEN p_data -> 'certainty' END,
                    'channel', CASE WHEN p_data ->> 'channel' ~ '^[a-z]{1,20}$' THEN p_data -> 'channel' END,
                    'from_version',
                    CASE WHEN jsonb_typeof(p_data -> 'from_version') = 'number' THEN p_data -> 'from_version' END,
                    'attempt', CASE WHEN jsonb_typeof(p_data -> 'attempt') = 'number' THEN p_data -> 'attempt' END,
                    'reason',
                    CASE
                        WHEN p_event_type IN ('message_skipped', 'enrollment_exited')
                            AND p_data ->> 'reason' ~ '^[a-z0-9_.:-]{1,64}$' THEN p_data -> 'reason'
                    END
                )
                ELSE '{}'
            END
        )
    END
$$;
