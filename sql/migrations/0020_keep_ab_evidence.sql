-- What judging keeps beside the specification's columns: the people a decision rests on, who cleared a block, who
-- declared, and which campaigns have something new to count.

ALTER TABLE campaign_ab_test_results
    ADD COLUMN IF NOT EXISTS total_machine_clicked bigint NOT NULL DEFAULT 0,
    -- The cohort: contacts sent (a holdout: assigned) at least the attribution window ago, and what they did inside it.
    -- Machine opens and scanner clicks are not among it. Frozen once the test is decided; the totals go on.
    ADD COLUMN IF NOT EXISTS cohort_contacts bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS cohort_successes bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS cohort_score_sum numeric,
    ADD COLUMN IF NOT EXISTS cohort_score_sum_squares numeric,
    ADD COLUMN IF NOT EXISTS first_assigned_at timestamptz;

-- Verdicts are rewritten often: room for the next version of a row on its page.
ALTER TABLE campaign_ab_test_results SET (fillfactor = 50);

ALTER TABLE campaign_ab_tests
    -- A sample-ratio mismatch blocks until a person says that it may go on.
    ADD COLUMN IF NOT EXISTS srm_cleared_by text,
    ADD COLUMN IF NOT EXISTS srm_cleared_reason text,
    -- {variant: [node, ...]}: nodes of a variant that lie behind another split inside it, whose messages carry that
    -- split's variant. Worked out from the graphs of these versions.
    ADD COLUMN IF NOT EXISTS inner_nodes jsonb,
    ADD COLUMN IF NOT EXISTS inner_nodes_of integer[];

-- Serves the minute's judging: the running tests among all that ever were.
CREATE INDEX IF NOT EXISTS campaign_ab_tests_running ON campaign_ab_tests (campaign_id) WHERE status = 'running';

ALTER TABLE campaign_ab_decisions ADD COLUMN IF NOT EXISTS is_by_hand boolean NOT NULL DEFAULT false;

-- Campaigns with a test whose people or messages changed since it was counted. Appended to by triggers, one row a
-- statement and never an update: an upsert would make batches of one campaign wait for each other's commit.
CREATE TABLE IF NOT EXISTS campaign_ab_test_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    campaign_id uuid NOT NULL
);

SELECT drip_protect_table('campaign_ab_test_changes');
