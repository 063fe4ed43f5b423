-- name: lock_campaign_name
-- Locks a campaign name, because two concurrent publications of a new name must create one campaign only.
SELECT pg_advisory_xact_lock(hashtextextended(CAST(%(workspace_id)s AS text) || CAST(%(name)s AS text), 1));

-- name: workspaces_named
-- The workspaces of this name; without a name, all workspaces but those of the demo.
SELECT w.id, w.name
FROM workspaces w
WHERE w.name = CAST(%(name)s AS text)
   OR (
       CAST(%(name)s AS text) IS NULL AND NOT EXISTS (SELECT FROM demo_workspaces d WHERE d.workspace_id = w.id)
   )
ORDER BY w.name, w.id;

-- name: insert_workspace
-- Inserts a workspace.
INSERT INTO workspaces (name) VALUES (CAST(%(name)s AS text)) RETURNING id;

-- name: lock_campaign
-- Locks the campaign of this id or name, so that its publications run one after another. By name, archived campaigns are
-- left out.
SELECT c.id, c.status
FROM drip_campaigns c
WHERE c.workspace_id = CAST(%(workspace_id)s AS uuid)
  AND CASE
      WHEN CAST(%(campaign_id)s AS uuid) IS NULL
          THEN c.name = CAST(%(name)s AS text) AND c.status <> 'archived'
      ELSE c.id = CAST(%(campaign_id)s AS uuid)
  END
ORDER BY c.created_at
FOR UPDATE;

-- name: insert_campaign
-- Inserts a campaign with the status draft.
INSERT INTO drip_campaigns (workspace_id, name, sequence_type, status, created_at, updated_at)
VALUES (
    CAST(%(workspace_id)s AS uuid), CAST(%(name)s AS text), CAST(%(sequence_type)s AS text), 'draft',
    CAST(%(now)s AS timestamptz), CAST(%(now)s AS timestamptz)
)
RETURNING id;

-- name: custom_field_names
-- The names of custom fields among at most 20,000 contacts of the workspace.
SELECT DISTINCT f.name
FROM (
    SELECT k.custom_fields
    FROM contacts k
    WHERE k.workspace_id = CAST(%(workspace_id)s AS uuid)
    LIMIT 20000
) k
CROSS JOIN LATERAL jsonb_object_keys(
    CASE jsonb_typeof(k.custom_fields) WHEN 'object' THEN k.custom_fields ELSE '{}' END
) AS f (name);

-- name: dates_in_fields
-- How many values these custom fields have among at most 20,000 contacts of the workspace, how many of them begin as ISO
-- dates do, and the JSON types of the others.
SELECT
    f.name, count(*) AS filled, count(*) FILTER (WHERE v.is_date) AS dates,
    coalesce(array_agg(DISTINCT jsonb_typeof(v.value)) FILTER (WHERE NOT v.is_date), '{}') AS types
FROM (
    SELECT k.custom_fields
    FROM contacts k
    WHERE k.workspace_id = CAST(%(workspace_id)s AS uuid)
    LIMIT 20000
) k
CROSS JOIN unnest(CAST(%(names)s AS text [])) AS f (name)
CROSS JOIN LATERAL (SELECT k.custom_fields #> string_to_array(f.name, '.') AS value) p
CROSS JOIN LATERAL (
    SELECT p.value, p.value #>> '{}' ~ '^\s*\d{4}-\d{2}-\d{2}' AND jsonb_typeof(p.value) = 'string' AS is_date
) v
WHERE v.value IS NOT NULL AND jsonb_typeof(v.value) <> 'null'
GROUP BY f.name;

-- name: published_hash
-- The published version of a campaign, with the hash of its definition, and whether its goal ends runs.
SELECT v.definition_hash, v.version, v.goal_ends_runs
FROM drip_campaigns c
JOIN campaign_versions v ON v.campaign_id = c.id AND v.version = c.published_version
WHERE c.id = CAST(%(campaign_id)s AS uuid);

-- name: steps_of_campaign
-- The steps of a campaign, by step number.
SELECT
    s.id, s.step_number, s.step_name, s.day_delay, s.subject_line, s.preheader_text, s.email_body, s.email_body_html,
    s.cta, s.conditional_logic, s.node_id, s.node_type, s.node_position, s.channel_id, s.channel_config, s.variant_group,
    s.variant_percentage, s.parent_split_id, s.conditional_branches, s.wait_config, s.action_config, s.node_config
FROM campaign_steps s
WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid)
ORDER BY s.step_number NULLS LAST, s.node_id, s.id;

-- name: campaign_row
-- The columns of a campaign that a campaign file is read from.
SELECT
    c.id, c.workspace_id, c.status, c.name, c.description, c.campaign_type, c.sequence_type, c.goal, c.goal_metric,
    c.goal_target, c.tags, c.ab_test_config, c.canvas_data, c.drip_settings
FROM drip_campaigns c
WHERE c.id = CAST(%(campaign_id)s AS uuid);

-- name: clear_step_numbers
-- Clears the step numbers before they are assigned again, so that no two steps have the same number meanwhile.
UPDATE campaign_steps s
SET step_number = NULL
WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid);

-- name: upsert_steps
-- Inserts or updates steps by node id; a step keeps its id in all versions, because applications refer to it. A channel
-- that is none of the workspace's is not written; the check of the channels has reported it.
INSERT INTO campaign_steps (
    id, campaign_id, node_id, node_type, step_number, step_name, day_delay, subject_line, preheader_text, email_body,
    email_body_html, node_position, channel_id, channel_config, variant_group, variant_percentage,
    conditional_branches, wait_config, action_config, node_config, cta, conditional_logic, created_at, updated_at
)
SELECT
    coalesce(r.id, gen_random_uuid()), CAST(%(campaign_id)s AS uuid), r.node_id, r.node_type, r.step_number, r.step_name,
    coalesce(r.day_delay, 0), r.subject_line, r.preheader_text, r.email_body, r.email_body_html,
    coalesce(r.node_position, '{"x": 0, "y": 0}'), h.id, r.channel_config, r.variant_group,
    r.variant_percentage, r.conditional_branches, r.wait_config, r.action_config, r.node_config, r.cta,
    r.conditional_logic, CAST(%(now)s AS timestamptz), CAST(%(now)s AS timestamptz)
FROM jsonb_to_recordset(CAST(%(steps)s AS jsonb)) AS r (
    id uuid, node_id text, node_type text, step_number integer, step_name text, day_delay integer, subject_line text,
    preheader_text text, email_body text, email_body_html text, node_position jsonb, channel_id text,
    channel_config jsonb, variant_group text, variant_percentage numeric, conditional_branches jsonb, wait_config jsonb,
    action_config jsonb, node_config jsonb, cta jsonb, conditional_logic jsonb
)
LEFT JOIN campaign_channels h
    ON h.id::text = lower(r.channel_id)
    AND h.workspace_id = (SELECT c.workspace_id FROM drip_campaigns c WHERE c.id = CAST(%(campaign_id)s AS uuid))
ON CONFLICT (campaign_id, node_id) DO UPDATE
SET node_type = excluded.node_type,
    step_number = excluded.step_number,
    step_name = excluded.step_name,
    day_delay = excluded.day_delay,
    subject_line = excluded.subject_line,
    preheader_text = excluded.preheader_text,
    email_body = excluded.email_body,
    email_body_html = excluded.email_body_html,
    node_position = excluded.node_position,
    channel_id = excluded.channel_id,
    channel_config = excluded.channel_config,
    variant_group = excluded.variant_group,
    variant_percentage = excluded.variant_percentage,
    conditional_branches = excluded.conditional_branches,
    wait_config = excluded.wait_config,
    action_config = excluded.action_config,
    node_config = excluded.node_config,
    cta = excluded.cta,
    conditional_logic = excluded.conditional_logic,
    updated_at = excluded.updated_at
RETURNING id, node_id;

-- name: link_parent_splits
-- Links the steps inside a variant to the step of their split.
UPDATE campaign_steps s
SET parent_split_id = p.id
FROM unnest(CAST(%(node_ids)s AS text []), CAST(%(split_node_ids)s AS text [])) AS r (node_id, split_node_id)
LEFT JOIN campaign_steps p ON p.campaign_id = CAST(%(campaign_id)s AS uuid) AND p.node_id = r.split_node_id
WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid) AND s.node_id = r.node_id
  AND s.parent_split_id IS DISTINCT FROM p.id;

-- name: delete_other_steps
-- Deletes the steps that the new version does not have; the snapshots of earlier versions keep them.
DELETE FROM campaign_steps s
WHERE s.campaign_id = CAST(%(campaign_id)s AS uuid) AND (s.node_id IS NULL OR s.node_id <> ALL(CAST(%(node_ids)s AS text [])));

-- name: update_campaign
-- Writes a definition to the campaign's row.
UPDATE drip_campaigns c
SET name = CAST(%(name)s AS text),
    description = CAST(%(description)s AS text),
    campaign_type = CAST(%(campaign_type)s AS text),
    sequence_type = CAST(%(sequence_type)s AS text),
    goal = CAST(%(goal)s AS text),
    goal_metric = CAST(%(goal_metric)s AS text),
    goal_target = CAST(%(goal_target)s AS numeric),
    tags = CAST(%(tags)s AS text []),
    ab_test_config = CAST(%(ab_test_config)s AS jsonb),
    canvas_data = CAST(%(canvas_data)s AS jsonb),
    drip_settings = CAST(%(settings)s AS jsonb),
    total_steps = CAST(%(total_steps)s AS integer),
    updated_at = CAST(%(now)s AS timestamptz)
WHERE c.id = CAST(%(campaign_id)s AS uuid);

-- name: snapshot_version
-- Inserts the next version, a snapshot of campaign, steps and canvas.
SELECT create_campaign_version_snapshot(
    CAST(%(campaign_id)s AS uuid), CAST(%(description)s AS text), CAST(%(change_type)s AS text),
    CAST(%(now)s AS timestamptz)
) AS version_id;

-- name: publish_version
-- Stores the compiled graph with its snapshot and makes the version the published one; a draft becomes active.
WITH published AS (
    UPDATE campaign_versions v
    SET compiled_graph = CAST(%(graph)s AS jsonb), definition = CAST(%(definition)s AS jsonb),
        definition_hash = CAST(%(definition_hash)s AS text), graph_hash = CAST(%(graph_hash)s AS text),
        waits_for = CAST(%(waits_for)s AS text []), reads_event = CAST(%(reads_event)s AS boolean),
        topic = CAST(%(topic)s AS text), exit_events = CAST(%(exit_events)s AS text []),
        exits_follow_contacts = CAST(%(exits_follow_contacts)s AS boolean),
        goal_event_type = CAST(%(goal_event_type)s AS text), goal_is_narrowed = CAST(%(goal_is_narrowed)s AS boolean),
        goal_is_per_run = CAST(%(goal_is_per_run)s AS boolean),
        goal_within = CAST(%(goal_within)s AS interval), goal_ends_runs = CAST(%(goal_ends_runs)s AS boolean),
        content_hash = campaign_content_hash(v.campaign_id)
    WHERE v.id = CAST(%(version_id)s AS uuid)
    RETURNING v.campaign_id, v.version
)

UPDATE drip_campaigns c
SET published_version = p.version, status = CASE c.status WHEN 'draft' THEN 'active' ELSE c.status END
FROM published p
WHERE c.id = p.campaign_id
RETURNING c.published_version;

-- name: activate_campaign
-- Activates a draft. Used when the published version already has the definition.
UPDATE drip_campaigns c SET status = 'active', updated_at = CAST(%(now)s AS timestamptz)
WHERE c.id = CAST(%(campaign_id)s AS uuid) AND c.status = 'draft';

-- name: admit_waiting_enrollments
-- Creates states for enrollments that were made before the first publication.
SELECT enter_enrollments(array_agg(e.id)) AS entered
FROM campaign_enrollments e
WHERE e.campaign_id = CAST(%(campaign_id)s AS uuid)
  AND e.status IN ('active', 'paused')
  AND NOT EXISTS (SELECT FROM campaign_workflow_states s WHERE s.id = e.id);

-- name: tests_of_campaign
-- The A/B tests of a campaign, newest first per split.
SELECT t.id, t.split_node_id, t.status, t.config_hash
FROM campaign_ab_tests t
WHERE t.campaign_id = CAST(%(campaign_id)s AS uuid)
ORDER BY t.split_node_id, t.test_number DESC;

-- name: continue_test
-- Adds a version to a test whose configuration the version does not change.
UPDATE campaign_ab_tests t
SET campaign_versions = t.campaign_versions || CAST(%(version)s AS integer)
WHERE t.id = CAST(%(test_id)s AS uuid) AND NOT CAST(%(version)s AS integer) = ANY(t.campaign_versions);

-- name: supersede_test
-- Ends a running test that a new version changes or removes; its counts stay.
UPDATE campaign_ab_tests t
SET status = 'superseded', state = 'superseded', ended_at = coalesce(t.ended_at, CAST(%(now)s AS timestamptz))
WHERE t.id = CAST(%(test_id)s AS uuid) AND t.status = 'running';

-- name: start_test
-- Inserts a test with its frozen configuration and weights.
INSERT INTO campaign_ab_tests (
    workspace_id, campaign_id, split_node_id, test_number, config, config_hash, campaign_versions, started_at
)
SELECT
    c.workspace_id, c.id, CAST(%(split_node_id)s AS text),
    (
        SELECT coalesce(max(t.test_number), 0) + 1
        FROM campaign_ab_tests t
        WHERE t.campaign_id = c.id AND t.split_node_id = CAST(%(split_node_id)s AS text)
    ),
    CAST(%(config)s AS jsonb), CAST(%(config_hash)s AS text), ARRAY[CAST(%(version)s AS integer)],
    CAST(%(now)s AS timestamptz)
FROM drip_campaigns c
WHERE c.id = CAST(%(campaign_id)s AS uuid)
RETURNING id;
