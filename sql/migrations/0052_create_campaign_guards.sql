-- Guards of volume: what a campaign's guards have counted and stopped. A campaign has a row only once a guard needed one.
CREATE TABLE campaign_guards (
    campaign_id uuid PRIMARY KEY REFERENCES drip_campaigns (id) ON DELETE CASCADE,
    workspace_id uuid NOT NULL,
    -- The day of the workspace that the two numbers are of.
    entry_day date,
    -- Enrollments of that day; null unless the campaign limits them.
    entries bigint,
    -- Enrollments of that day by the entry trigger.
    trigger_entries bigint NOT NULL DEFAULT 0,
    -- Enrollments a day by the entry trigger that an operator has confirmed.
    entries_confirmed bigint,
    -- The entry trigger enrolls nobody before this time, unless the campaign gets another version before.
    waits_until timestamptz,
    waits_for text CHECK (waits_for IN ('per_day', 'confirm_above')),
    waits_version integer,
    -- Contacts that wait, and the agreed size.
    waiting bigint,
    agreed bigint,
    -- Why the guard paused the campaign: the rate, its numbers and its limit. Null after it was resumed.
    paused_by jsonb,
    paused_at timestamptz,
    -- Messages sent before the last resumption do not count again.
    counted_from timestamptz
);

SELECT drip_protect_table('campaign_guards');
