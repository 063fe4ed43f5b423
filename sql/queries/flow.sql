-- name: ensure_transport
-- Creates the row of a transport, or updates its configuration; permits and breaker state are kept.
INSERT INTO channel_flow (transport, channel, channel_id, on_unknown, refilled_at, updated_at)
VALUES (
    CAST(%(transport)s AS text), CAST(%(channel)s AS text), CAST(%(channel_id)s AS uuid), CAST(%(on_unknown)s AS text),
    -- Long enough ago that buckets of any size start full.
    CAST(%(now)s AS timestamptz) - interval '1 hour', CAST(%(now)s AS timestamptz)
)
ON CONFLICT (transport) DO UPDATE
SET on_unknown = excluded.on_unknown, channel_id = excluded.channel_id, updated_at = excluded.updated_at
WHERE (channel_flow.on_unknown, channel_flow.channel_id) IS DISTINCT FROM (excluded.on_unknown, excluded.channel_id);

-- name: transport_obstacles
-- The transports among these that are closed, disabled or have recent failures; healthy transports are left out.
SELECT
    f.transport, f.disabled_at IS NOT NULL AS is_disabled, f.last_error,
    CASE
        WHEN f.paused_until > CAST(%(now)s AS timestamptz) THEN f.paused_until
        WHEN f.open_until > CAST(%(now)s AS timestamptz) THEN f.open_until
        WHEN f.open_until IS NOT NULL AND f.probing_until > CAST(%(now)s AS timestamptz) THEN f.probing_until
    END AS closed_until,
    f.open_until IS NOT NULL AS is_open, f.window_failures > 0 OR f.consecutive_failures > 0 AS is_watched
FROM channel_flow f
WHERE f.transport = ANY(CAST(%(transports)s AS text []))
  AND (
      f.disabled_at IS NOT NULL OR f.open_until IS NOT NULL OR f.paused_until > CAST(%(now)s AS timestamptz)
      OR f.window_failures > 0 OR f.consecutive_failures > 0
  );

-- name: lock_transport
-- Locks a transport in a statement of its own, so that the count of deliveries in progress includes those that others
-- have just marked.
SELECT f.transport FROM channel_flow f WHERE f.transport = CAST(%(transport)s AS text) FOR UPDATE;

-- name: take_permits
-- Takes permits to send from both buckets in one statement: as many of the requested ones as the rates, the concurrency
-- and the breaker allow now. A clock that is behind others refills nothing. Buckets are small (a quarter of a second, a
-- minute's worth), so that no interval gets many more than its share.
WITH locked AS (
    SELECT f.*, greatest(0, extract(epoch FROM CAST(%(now)s AS timestamptz) - f.refilled_at)) AS elapsed_seconds
    FROM channel_flow f
    WHERE f.transport = CAST(%(transport)s AS text)
    FOR UPDATE
),

refilled AS (
    SELECT
        l.transport, l.open_until, l.probing_until, l.paused_until,
        greatest(l.refilled_at, CAST(%(now)s AS timestamptz)) AS refilled_at,
        -- Null without a rate; least() ignores nulls.
        CASE
            WHEN CAST(%(per_second)s AS double precision) IS NOT NULL THEN least(
                greatest(1, CAST(%(per_second)s AS double precision) / 4),
                l.second_permits + CAST(%(per_second)s AS double precision) * l.elapsed_seconds
            )
        END AS second_permits,
        CASE
            WHEN CAST(%(per_hour)s AS double precision) IS NOT NULL THEN least(
                greatest(1, CAST(%(per_hour)s AS double precision) / 60),
                l.hour_permits + CAST(%(per_hour)s AS double precision) / 3600 * l.elapsed_seconds
            )
        END AS hour_permits,
        CASE
            WHEN CAST(%(concurrency)s AS integer) IS NOT NULL
                THEN CAST(%(concurrency)s AS integer) - (
                    SELECT count(*)
                    FROM campaign_deliveries d
                    WHERE d.status = 'sending' AND d.transport = CAST(%(transport)s AS text)
                )
        END AS free_slots,
        CASE
            WHEN l.disabled_at IS NOT NULL THEN 'disabled'
            WHEN l.paused_until > CAST(%(now)s AS timestamptz) THEN 'paused'
            WHEN l.open_until > CAST(%(now)s AS timestamptz) THEN 'open'
            WHEN l.open_until IS NULL THEN 'closed'
            WHEN l.probing_until > CAST(%(now)s AS timestamptz) THEN 'probing'
            ELSE 'half_open'
        END AS state
    FROM locked l
),

decided AS (
    SELECT
        r.*,
        CASE
            WHEN r.state IN ('closed', 'half_open') THEN greatest(
                0,
                least(
                    CAST(%(requested)s AS integer), floor(r.second_permits), floor(r.hour_permits), r.free_slots,
                    CASE r.state WHEN 'half_open' THEN 1 END
                )
            )
            ELSE 0
        END AS granted
    FROM refilled r
)

UPDATE channel_flow f
SET second_permits = coalesce(d.second_permits - d.granted, 0),
    hour_permits = coalesce(d.hour_permits - d.granted, 0),
    refilled_at = d.refilled_at,
    granted = d.granted,
    probing_until = CASE
        WHEN d.state = 'half_open' AND d.granted > 0
            THEN CAST(%(now)s AS timestamptz) + make_interval(secs => CAST(%(probe_seconds)s AS double precision))
        ELSE f.probing_until
    END
FROM decided d
WHERE f.transport = d.transport
RETURNING
    f.granted, d.state,
    CASE d.state
        WHEN 'paused' THEN d.paused_until
        WHEN 'open' THEN d.open_until
        WHEN 'probing' THEN d.probing_until
        WHEN 'disabled' THEN NULL
        ELSE CAST(%(now)s AS timestamptz) + make_interval(
            secs => greatest(
                0.02,
                (1 - d.second_permits) / CAST(%(per_second)s AS double precision),
                (1 - d.hour_permits) * 3600 / CAST(%(per_hour)s AS double precision),
                CASE WHEN d.free_slots <= 0 THEN 0.1 END
            )
        )
    END AS retry_at;

-- name: give_back_permits
-- Returns unused permits. A probe with nothing to send is released for the next worker.
UPDATE channel_flow f
SET second_permits = f.second_permits + CAST(%(unused)s AS integer),
    hour_permits = f.hour_permits + CAST(%(unused)s AS integer),
    granted = f.granted - CAST(%(unused)s AS integer),
    probing_until = CASE WHEN f.granted <= CAST(%(unused)s AS integer) THEN NULL ELSE f.probing_until END
WHERE f.transport = CAST(%(transport)s AS text);

-- name: note_results
-- Counts the results of a batch for the circuit breaker. It opens after a number of failures in a row, at a percentage
-- of failures within a minute, or when a probe fails; each time for twice as long, up to 32 times. A successful probe
-- closes it.
WITH locked AS (
    SELECT
        f.*,
        coalesce(f.window_started_at < CAST(%(now)s AS timestamptz) - interval '60 seconds', true) AS is_new_window,
        f.open_until IS NOT NULL AND f.open_until <= CAST(%(now)s AS timestamptz) AS is_half_open
    FROM channel_flow f
    WHERE f.transport = CAST(%(transport)s AS text)
    FOR UPDATE
),

counted AS (
    SELECT
        l.transport, l.is_half_open, l.open_until, l.is_new_window,
        CASE
            WHEN CAST(%(successes)s AS integer) > 0 THEN CAST(%(trailing_failures)s AS integer)
            ELSE l.consecutive_failures + CAST(%(failures)s AS integer)
        END AS consecutive,
        CAST(%(successes)s AS integer) + CAST(%(failures)s AS integer)
        + CASE WHEN l.is_new_window THEN 0 ELSE l.window_attempts END AS attempts,
        CAST(%(failures)s AS integer) + CASE WHEN l.is_new_window THEN 0 ELSE l.window_failures END AS failures
    FROM locked l
),

decided AS (
    SELECT
        c.*,
        CAST(%(failures)s AS integer) > 0
        AND (c.open_until IS NULL OR c.is_half_open)
        AND (
            c.is_half_open
            OR c.consecutive >= CAST(%(breaker_failures)s AS integer)
            OR (
                c.attempts >= CAST(%(breaker_least)s AS integer)
                AND c.failures * 100 >= c.attempts * CAST(%(breaker_failure_pct)s AS double precision)
            )
        ) AS opens,
        CAST(%(failures)s AS integer) = 0 AND CAST(%(successes)s AS integer) > 0 AND c.is_half_open AS closes
    FROM counted c
)

UPDATE channel_flow f
SET consecutive_failures = CASE WHEN d.closes THEN 0 ELSE d.consecutive END,
    window_started_at = CASE WHEN d.is_new_window THEN CAST(%(now)s AS timestamptz) ELSE f.window_started_at END,
    window_attempts = CASE WHEN d.closes THEN 0 ELSE d.attempts END,
    window_failures = CASE WHEN d.closes THEN 0 ELSE d.failures END,
    times_opened = CASE WHEN d.opens THEN f.times_opened + 1 WHEN d.closes THEN 0 ELSE f.times_opened END,
    open_until = CASE
        WHEN d.opens
            THEN CAST(%(now)s AS timestamptz) + make_interval(
                secs => CAST(%(open_seconds)s AS double precision) * power(2, least(f.times_opened, 5))
            )
        WHEN d.closes THEN NULL
        ELSE f.open_until
    END,
    probing_until = CASE WHEN d.opens OR d.closes THEN NULL ELSE f.probing_until END,
    paused_until = greatest(f.paused_until, CAST(%(pause_until)s AS timestamptz)),
    last_error = coalesce(CAST(%(error)s AS text), f.last_error),
    last_error_at = CASE
        WHEN CAST(%(error)s AS text) IS NULL THEN f.last_error_at ELSE CAST(%(now)s AS timestamptz)
    END,
    updated_at = CAST(%(now)s AS timestamptz)
FROM decided d
WHERE f.transport = d.transport
RETURNING d.opens, f.open_until;

-- name: disable_transport
-- Disables an endpoint that answered 410 Gone, until an operator resets it.
UPDATE channel_flow f
SET disabled_at = coalesce(f.disabled_at, CAST(%(now)s AS timestamptz)), last_error = CAST(%(error)s AS text),
    last_error_at = CAST(%(now)s AS timestamptz), updated_at = CAST(%(now)s AS timestamptz)
WHERE f.transport = CAST(%(transport)s AS text);

-- name: reset_transport
-- Re-enables a transport: closes its breaker and ends pause and disablement.
UPDATE channel_flow f
SET disabled_at = NULL, open_until = NULL, probing_until = NULL, paused_until = NULL, consecutive_failures = 0,
    window_attempts = 0, window_failures = 0, times_opened = 0, updated_at = CAST(%(now)s AS timestamptz)
WHERE f.transport = CAST(%(transport)s AS text);

-- name: all_transports
-- Every transport that was ever used, with its state, for doctor and operators.
SELECT
    f.transport, f.channel, f.channel_id,
    CASE
        WHEN f.disabled_at IS NOT NULL THEN 'disabled'
        WHEN f.paused_until > CAST(%(now)s AS timestamptz) THEN 'paused'
        WHEN f.open_until > CAST(%(now)s AS timestamptz) THEN 'open'
        WHEN f.open_until IS NOT NULL THEN 'half_open'
        ELSE 'closed'
    END AS state,
    f.disabled_at, f.open_until, f.paused_until, f.consecutive_failures, f.times_opened, f.last_error, f.last_error_at,
    f.on_unknown,
    (
        SELECT count(*) FROM campaign_deliveries d WHERE d.status = 'sending' AND d.transport = f.transport
    ) AS sending,
    (
        SELECT count(*) FROM campaign_deliveries d WHERE d.status = 'unknown' AND d.transport = f.transport
    ) AS unknown
FROM channel_flow f
ORDER BY f.channel, f.transport;
