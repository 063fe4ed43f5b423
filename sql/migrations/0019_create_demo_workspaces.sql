-- migrate: statement by statement
-- Workspaces that `drip demo` created. Only these does a later demo replace, and no command chooses one by default.
CREATE TABLE IF NOT EXISTS demo_workspaces (
    workspace_id uuid PRIMARY KEY REFERENCES workspaces (id) ON DELETE CASCADE
);

SELECT drip_protect_table('demo_workspaces');

-- Those of earlier releases, as long as they contain only what the demo made.
INSERT INTO demo_workspaces (workspace_id)
SELECT w.id
FROM workspaces w
WHERE w.name = 'Drip demo'
  AND EXISTS (SELECT FROM contacts k WHERE k.workspace_id = w.id)
  AND NOT EXISTS (
      SELECT FROM contacts k
      WHERE k.workspace_id = w.id AND (k.email ~ '^person[0-9]{5,}@example[.](com|org|net)$') IS NOT TRUE
  )
  AND NOT EXISTS (
      SELECT FROM drip_campaigns c
      WHERE c.workspace_id = w.id AND c.name NOT IN ('Onboarding', 'Win-back', 'Newsletter subjects')
  )
ON CONFLICT DO NOTHING;
