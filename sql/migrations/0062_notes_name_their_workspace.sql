-- Notes of people who came to match name their workspace, as every table of people does.
ALTER TABLE campaign_entry_queue ADD COLUMN IF NOT EXISTS workspace_id uuid;
UPDATE campaign_entry_queue n
SET workspace_id = t.workspace_id
FROM campaign_entry_triggers t
WHERE t.id = n.trigger_id AND n.workspace_id IS NULL;
