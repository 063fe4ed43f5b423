-- What the exposed receiver does with the recipient of a message. The functions run with the rights of the tables' owner:
-- the receiver's role can read and suppress the recipient of a message whose id it was given in a signed link, and has no
-- privilege on contacts, deliveries and suppressions themselves.

-- The contact and channel of a message, and whether the contact is on the suppression list of the channel. The phone
-- number as written, with the country of numbers without a country code, only if the message was an SMS.
CREATE OR REPLACE FUNCTION receiver_recipient(p_delivery_id uuid)
RETURNS TABLE (contact_id uuid, channel text, is_unsubscribed boolean, phone text, region text)
LANGUAGE sql
STABLE
SECURITY DEFINER
ROWS 1
AS $$
    SELECT
        m.contact_id, m.channel,
        EXISTS (
            SELECT FROM campaign_suppressions x
            WHERE x.workspace_id = m.workspace_id AND x.contact_id = m.contact_id AND x.campaign_id IS NULL
              AND (x.channel IS NULL OR x.channel = m.channel)
        ),
        CASE m.channel WHEN 'sms' THEN k.phone END,
        CASE m.channel WHEN 'sms' THEN w.default_region END
    FROM (
        SELECT d.contact_id, d.workspace_id, CASE d.channel WHEN 'sms' THEN 'sms' ELSE 'email' END AS channel
        FROM campaign_deliveries d
        WHERE d.id = p_delivery_id
    ) m
    LEFT JOIN contacts k ON k.id = m.contact_id
    LEFT JOIN workspaces w ON w.id = m.workspace_id
$$;

-- Put the recipient of a message on the suppression list of the message's channel; an existing entry keeps its reason.
-- p_number is the recipient's phone number in E.164 form, if the message was an SMS. Returns the number of new entries.
CREATE OR REPLACE FUNCTION receiver_unsubscribe(
    p_delivery_id uuid, p_number text, p_source text, p_now timestamptz
)
RETURNS bigint
LANGUAGE sql
SECURITY DEFINER
AS $$
    WITH suppressed AS (
        INSERT INTO campaign_suppressions (
            workspace_id, contact_id, address, channel, campaign_id, reason, source, created_at
        )
        SELECT k.workspace_id, k.id, a.address, a.channel, NULL, 'unsubscribed', p_source, p_now
        FROM campaign_deliveries d
        JOIN contacts k ON k.id = d.contact_id
        CROSS JOIN LATERAL (
            SELECT
                CASE d.channel WHEN 'sms' THEN coalesce(p_number, k.phone) ELSE k.email END AS address,
                CASE d.channel WHEN 'sms' THEN 'sms' ELSE 'email' END AS channel
        ) a
        WHERE d.id = p_delivery_id AND a.address <> ''
        ON CONFLICT DO NOTHING
        RETURNING workspace_id, contact_id, channel
    ),

    recorded AS (
        INSERT INTO operator_actions (
            id, workspace_id, actor, source, action, object_kind, object_id, reason, details, occurred_at
        )
        SELECT
            gen_random_uuid(), s.workspace_id, 'receiver:unsubscribe', 'receiver', 'suppress', 'contact', s.contact_id,
            'unsubscribed by the link in a message', jsonb_build_object('channel', s.channel), p_now
        FROM suppressed s
    )

    SELECT count(*) FROM suppressed
$$;

-- Since when the recipient of a message is on the suppression list of the message's channel; null if it is not.
CREATE OR REPLACE FUNCTION receiver_left_at(p_delivery_id uuid)
RETURNS timestamptz
LANGUAGE sql
STABLE
SECURITY DEFINER
AS $$
    SELECT max(x.created_at)
    FROM campaign_deliveries d
    JOIN campaign_suppressions x ON x.contact_id = d.contact_id
    WHERE d.id = p_delivery_id AND x.workspace_id = d.workspace_id AND x.campaign_id IS NULL
      AND (x.channel IS NULL OR x.channel = CASE d.channel WHEN 'sms' THEN 'sms' ELSE 'email' END)
$$;
