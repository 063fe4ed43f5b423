-- What sql/migrations and sql/functions build in an empty database, for reading and for seeing in a
-- review what a migration changes. Written by `make schema`; a test compares it. Where a platform's
-- roles exist, every table also has row-level security.

CREATE TABLE campaign_ab_decisions (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL,
    ab_test_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    split_node_id text NOT NULL,
    outcome text NOT NULL,
    winner_variant text,
    decided_by text NOT NULL,
    reason text NOT NULL,
    evaluation_id uuid,
    decided_at timestamp with time zone NOT NULL,
    is_by_hand boolean NOT NULL DEFAULT false,
    CONSTRAINT campaign_ab_decisions_pkey PRIMARY KEY (id),
    CONSTRAINT campaign_ab_decisions_ab_test_id_fkey FOREIGN KEY (ab_test_id) REFERENCES campaign_ab_tests(id) ON DELETE CASCADE,
    CONSTRAINT campaign_ab_decisions_ab_test_id_key UNIQUE (ab_test_id),
    CONSTRAINT campaign_ab_decisions_check CHECK (((outcome = 'decided_winner'::text) = (winner_variant IS NOT NULL))),
    CONSTRAINT campaign_ab_decisions_evaluation_id_fkey FOREIGN KEY (evaluation_id) REFERENCES campaign_ab_evaluations(id) ON DELETE SET NULL,
    CONSTRAINT campaign_ab_decisions_outcome_check CHECK ((outcome = ANY (ARRAY['decided_winner'::text, 'decided_no_winner'::text])))
);

CREATE TABLE campaign_ab_evaluations (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL,
    ab_test_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    evaluated_at timestamp with time zone NOT NULL,
    state text NOT NULL,
    reason text NOT NULL,
    leader text,
    counts jsonb NOT NULL,
    verdict jsonb NOT NULL,
    counts_hash text NOT NULL,
    config_hash text NOT NULL,
    engine_version text NOT NULL,
    run_id text,
    ordinal bigint NOT NULL DEFAULT IDENTITY,
    CONSTRAINT campaign_ab_evaluations_pkey PRIMARY KEY (id),
    CONSTRAINT campaign_ab_evaluations_ab_test_id_fkey FOREIGN KEY (ab_test_id) REFERENCES campaign_ab_tests(id) ON DELETE CASCADE
);
CREATE INDEX campaign_ab_evaluations_test ON public.campaign_ab_evaluations USING btree (ab_test_id, ordinal);

CREATE TABLE campaign_ab_test_changes (
    id bigint NOT NULL DEFAULT IDENTITY,
    campaign_id uuid NOT NULL,
    CONSTRAINT campaign_ab_test_changes_pkey PRIMARY KEY (id)
);

CREATE TABLE campaign_ab_test_results (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    campaign_id uuid NOT NULL,
    variant_group text NOT NULL,
    variant_step_id uuid,
    total_sent bigint NOT NULL DEFAULT 0,
    total_delivered bigint NOT NULL DEFAULT 0,
    total_opened bigint NOT NULL DEFAULT 0,
    total_clicked bigint NOT NULL DEFAULT 0,
    total_replied bigint NOT NULL DEFAULT 0,
    total_converted bigint NOT NULL DEFAULT 0,
    total_unsubscribed bigint NOT NULL DEFAULT 0,
    total_bounced bigint NOT NULL DEFAULT 0,
    delivery_rate numeric(5,2),
    open_rate numeric(5,2),
    click_rate numeric(5,2),
    reply_rate numeric(5,2),
    conversion_rate numeric(5,2),
    engagement_score numeric(5,2),
    confidence_level numeric(5,2),
    p_value numeric(10,8),
    is_statistically_significant boolean NOT NULL DEFAULT false,
    is_winner boolean NOT NULL DEFAULT false,
    test_started_at timestamp with time zone,
    test_ended_at timestamp with time zone,
    winner_declared_at timestamp with time zone,
    workspace_id uuid NOT NULL,
    ab_test_id uuid,
    split_node_id text,
    total_assigned bigint NOT NULL DEFAULT 0,
    total_complained bigint NOT NULL DEFAULT 0,
    total_machine_opened bigint NOT NULL DEFAULT 0,
    is_holdout boolean NOT NULL DEFAULT false,
    updated_at timestamp with time zone,
    total_machine_clicked bigint NOT NULL DEFAULT 0,
    cohort_contacts bigint NOT NULL DEFAULT 0,
    cohort_successes bigint NOT NULL DEFAULT 0,
    cohort_score_sum numeric,
    cohort_score_sum_squares numeric,
    first_assigned_at timestamp with time zone,
    CONSTRAINT campaign_ab_test_results_pkey PRIMARY KEY (id),
    CONSTRAINT campaign_ab_test_results_ab_test_id_fkey FOREIGN KEY (ab_test_id) REFERENCES campaign_ab_tests(id) ON DELETE CASCADE,
    CONSTRAINT campaign_ab_test_results_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES drip_campaigns(id) ON DELETE CASCADE,
    CONSTRAINT campaign_ab_test_results_variant_step_id_fkey FOREIGN KEY (variant_step_id) REFERENCES campaign_steps(id) ON DELETE SET NULL
) WITH (fillfactor=50);
CREATE UNIQUE INDEX campaign_ab_test_results_one_winner ON public.campaign_ab_test_results USING btree (ab_test_id) WHERE (is_winner AND (ab_test_id IS NOT NULL));
CREATE UNIQUE INDEX campaign_ab_test_results_variant ON public.campaign_ab_test_results USING btree (ab_test_id, variant_group);
CREATE INDEX idx_ab_test_results_campaign ON public.campaign_ab_test_results USING btree (campaign_id);

CREATE TABLE campaign_ab_tests (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    split_node_id text NOT NULL,
    test_number integer NOT NULL,
    config jsonb NOT NULL,
    config_hash text NOT NULL,
    campaign_versions integer[] NOT NULL,
    status text NOT NULL DEFAULT 'running'::text,
    state text NOT NULL DEFAULT 'collecting'::text,
    srm_cleared_at timestamp with time zone,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    winner_variant text,
    srm_cleared_by text,
    srm_cleared_reason text,
    inner_nodes jsonb,
    inner_nodes_of integer[],
    CONSTRAINT campaign_ab_tests_pkey PRIMARY KEY (id),
    CONSTRAINT campaign_ab_tests_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES drip_campaigns(id) ON DELETE CASCADE,
    CONSTRAINT campaign_ab_tests_campaign_id_split_node_id_test_number_key UNIQUE (campaign_id, split_node_id, test_number),
    CONSTRAINT campaign_ab_tests_check CHECK (((status = 'running'::text) = (ended_at IS NULL))),
    CONSTRAINT campaign_ab_tests_status_check CHECK ((status = ANY (ARRAY['running'::text, 'decided'::text, 'superseded'::text])))
);
CREATE INDEX campaign_ab_tests_running ON public.campaign_ab_tests USING btree (campaign_id) WHERE (status = 'running'::text);

CREATE TABLE campaign_archived_entries (
    archive_id bigint NOT NULL,
    campaign_id uuid NOT NULL,
    campaign_version integer NOT NULL,
    started bigint NOT NULL,
    moved_in bigint NOT NULL,
    moved_out bigint NOT NULL,
    CONSTRAINT campaign_archived_entries_pkey PRIMARY KEY (archive_id, campaign_id, campaign_version),
    CONSTRAINT campaign_archived_entries_archive_id_fkey FOREIGN KEY (archive_id) REFERENCES campaign_archives(id) ON DELETE CASCADE
);

CREATE TABLE campaign_archives (
    id bigint NOT NULL DEFAULT IDENTITY,
    kind text NOT NULL,
    month date NOT NULL,
    table_name text,
    file text,
    rows_archived bigint,
    begun_at timestamp with time zone NOT NULL,
    archived_at timestamp with time zone,
    CONSTRAINT campaign_archives_pkey PRIMARY KEY (id),
    CONSTRAINT campaign_archives_check CHECK (((archived_at IS NULL) = (file IS NULL))),
    CONSTRAINT campaign_archives_check1 CHECK (((archived_at IS NULL) = (rows_archived IS NULL))),
    CONSTRAINT campaign_archives_kind_check CHECK ((kind = ANY (ARRAY['campaign_events'::text, 'contact_events'::text])))
);

CREATE TABLE campaign_attachments (
    workspace_id uuid NOT NULL,
    digest text NOT NULL,
    content bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT campaign_attachments_pkey PRIMARY KEY (workspace_id, digest),
    CONSTRAINT campaign_attachments_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(id) ON DELETE CASCADE
);

CREATE TABLE campaign_batches (
    id uuid NOT NULL,
    kind text NOT NULL,
    outcome text NOT NULL,
    engine_now timestamp with time zone NOT NULL,
    started_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    duration_ms integer NOT NULL,
    size integer NOT NULL,
    sizes jsonb NOT NULL DEFAULT '{}'::jsonb,
    campaigns jsonb NOT NULL DEFAULT '[]'::jsonb,
    error text,
    run_id text,
    step_key text,
    CONSTRAINT campaign_batches_pkey PRIMARY KEY (id),
    CONSTRAINT campaign_batches_kind_check CHECK ((kind = ANY (ARRAY['advance'::text, 'deliver'::text]))),
    CONSTRAINT campaign_batches_outcome_check CHECK ((outcome = ANY (ARRAY['committed'::text, 'failed'::text])))
);
CREATE INDEX campaign_batches_started ON public.campaign_batches USING btree (started_at);

CREATE TABLE campaign_broadcasts (
    id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    campaign_version integer NOT NULL,
    node_id text NOT NULL,
    step_id uuid,
    schedule_time timestamp with time zone,
    status text NOT NULL DEFAULT 'pending'::text,
    due_at timestamp with time zone,
    leased_until timestamp with time zone,
    attempts integer NOT NULL DEFAULT 0,
    retry_until timestamp with time zone,
    certainty text NOT NULL DEFAULT 'known'::text,
    transport text,
    provider_message_id text,
    details jsonb NOT NULL DEFAULT '{}'::jsonb,
    error_code text,
    last_error text,
    created_at timestamp with time zone NOT NULL,
    settled_at timestamp with time zone,
    CONSTRAINT campaign_broadcasts_pkey PRIMARY KEY (id),
    CONSTRAINT campaign_broadcasts_certainty_check CHECK ((certainty = ANY (ARRAY['known'::text, 'unknown'::text]))),
    CONSTRAINT campaign_broadcasts_check CHECK (((status = 'pending'::text) = (due_at IS NOT NULL))),
    CONSTRAINT campaign_broadcasts_check1 CHECK (((status = ANY (ARRAY['sent'::text, 'failed'::text])) = (settled_at IS NOT NULL))),
    CONSTRAINT campaign_broadcasts_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'sending'::text, 'sent'::text, 'failed'::text, 'unknown'::text])))
);
CREATE UNIQUE INDEX campaign_broadcasts_node ON public.campaign_broadcasts USING btree (campaign_id, campaign_version, node_id, COALESCE(schedule_time, '-infinity'::timestamp with time zone));
CREATE INDEX campaign_broadcasts_unknown ON public.campaign_broadcasts USING btree (status, leased_until) WHERE (status = ANY (ARRAY['sending'::text, 'unknown'::text]));

CREATE TABLE campaign_channels (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL,
    channel_slug text NOT NULL,
    channel_name text NOT NULL,
    channel_category text NOT NULL,
    platform text,
    is_active boolean NOT NULL DEFAULT true,
    specs jsonb DEFAULT '{}'::jsonb,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    updated_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT campaign_channels_pkey PRIMARY KEY (id),
    CONSTRAINT campaign_channels_channel_category_check CHECK ((channel_category = ANY (ARRAY['website'::text, 'blog'::text, 'social'::text, 'email'::text, 'video'::text, 'advertising'::text, 'sms'::text, 'webhook'::text]))),
    CONSTRAINT campaign_channels_workspace_id_channel_slug_key UNIQUE (workspace_id, channel_slug),
    CONSTRAINT campaign_channels_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(id) ON DELETE CASCADE
);

CREATE TABLE campaign_claim_watermarks (
    campaign_id uuid NOT NULL,
    due_from timestamp with time zone NOT NULL,
    valid_since timestamp with time zone NOT NULL,
    CONSTRAINT campaign_claim_watermarks_pkey PRIMARY KEY (campaign_id)
) WITH (fillfactor=50);

CREATE TABLE campaign_daily_metrics (
    metric_date date NOT NULL,
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    campaign_version integer NOT NULL,
    node_id text NOT NULL,
    channel text NOT NULL,
    variant_group text NOT NULL DEFAULT ''::text,
    sent bigint NOT NULL DEFAULT 0,
    sent_uncertain bigint NOT NULL DEFAULT 0,
    delivered bigint NOT NULL DEFAULT 0,
    opened bigint NOT NULL DEFAULT 0,
    opens_total bigint NOT NULL DEFAULT 0,
    machine_opened bigint NOT NULL DEFAULT 0,
    clicked bigint NOT NULL DEFAULT 0,
    clicks_total bigint NOT NULL DEFAULT 0,
    machine_clicked bigint NOT NULL DEFAULT 0,
    replied bigint NOT NULL DEFAULT 0,
    converted bigint NOT NULL DEFAULT 0,
    conversion_value numeric(16,2) NOT NULL DEFAULT 0,
    unsubscribed bigint NOT NULL DEFAULT 0,
    complained bigint NOT NULL DEFAULT 0,
    bounced bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    skipped jsonb NOT NULL DEFAULT '{}'::jsonb,
    CONSTRAINT campaign_daily_metrics_pkey PRIMARY KEY (metric_date, campaign_id, campaign_version, node_id, channel, variant_group)
);
CREATE INDEX campaign_daily_metrics_campaign ON public.campaign_daily_metrics USING btree (campaign_id, metric_date);

CREATE TABLE campaign_data_faults (
    id bigint NOT NULL DEFAULT IDENTITY,
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    enrollment_id uuid,
    campaign_id uuid,
    node_id text,
    reason text NOT NULL,
    found_at timestamp with time zone NOT NULL,
    CONSTRAINT campaign_data_faults_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX campaign_data_faults_subject ON public.campaign_data_faults USING btree (contact_id, COALESCE(enrollment_id, '00000000-0000-0000-0000-000000000000'::uuid));

CREATE TABLE campaign_deleted_enrollments (
    enrollment_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    campaign_version integer NOT NULL,
    contact_id uuid NOT NULL,
    deleted_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT campaign_deleted_enrollments_pkey PRIMARY KEY (enrollment_id)
);

CREATE TABLE campaign_deliveries (
    id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    campaign_version integer NOT NULL,
    enrollment_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    node_id text NOT NULL,
    step_id uuid,
    channel text NOT NULL,
    channel_id uuid,
    split_node_id text,
    variant_group text,
    status text NOT NULL DEFAULT 'pending'::text,
    due_at timestamp with time zone,
    leased_until timestamp with time zone,
    lease_token uuid,
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    error_code text,
    provider_message_id text,
    batch_id uuid,
    created_at timestamp with time zone NOT NULL,
    settled_at timestamp with time zone,
    transport text,
    held_by text,
    held_until timestamp with time zone,
    cap_priority integer,
    CONSTRAINT campaign_deliveries_pkey PRIMARY KEY (id),
    CONSTRAINT campaign_deliveries_check CHECK (((status = 'pending'::text) = (due_at IS NOT NULL))),
    CONSTRAINT campaign_deliveries_check1 CHECK (((status = 'sending'::text) = ((leased_until IS NOT NULL) AND (lease_token IS NOT NULL)))),
    CONSTRAINT campaign_deliveries_check2 CHECK (((status = ANY (ARRAY['sent'::text, 'skipped'::text, 'failed'::text])) = (settled_at IS NOT NULL))),
    CONSTRAINT campaign_deliveries_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'sending'::text, 'sent'::text, 'skipped'::text, 'failed'::text, 'unknown'::text])))
) WITH (autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=5000, fillfactor=80);
CREATE INDEX campaign_deliveries_capped ON public.campaign_deliveries USING btree (contact_id) WHERE ((status = 'pending'::text) AND (cap_priority IS NOT NULL));
CREATE INDEX campaign_deliveries_due ON public.campaign_deliveries USING btree (campaign_id, node_id, campaign_version, due_at) WHERE (status = 'pending'::text);
CREATE INDEX campaign_deliveries_failed ON public.campaign_deliveries USING btree (campaign_id) WHERE (status = 'failed'::text);
CREATE INDEX campaign_deliveries_held ON public.campaign_deliveries USING btree (held_by, held_until) WHERE ((status = 'pending'::text) AND (held_by IS NOT NULL));
CREATE INDEX campaign_deliveries_provider ON public.campaign_deliveries USING btree (provider_message_id) WHERE (provider_message_id IS NOT NULL);
CREATE INDEX campaign_deliveries_unknown ON public.campaign_deliveries USING btree (status, leased_until) WHERE (status = ANY (ARRAY['sending'::text, 'unknown'::text]));

CREATE TABLE campaign_edits (
    campaign_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    content_hash text NOT NULL,
    base_version integer NOT NULL,
    kind text NOT NULL,
    problems jsonb NOT NULL DEFAULT '[]'::jsonb,
    changes text NOT NULL,
    noticed_at timestamp with time zone NOT NULL,
    CONSTRAINT campaign_edits_pkey PRIMARY KEY (campaign_id),
    CONSTRAINT campaign_edits_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES drip_campaigns(id) ON DELETE CASCADE,
    CONSTRAINT campaign_edits_kind_check CHECK ((kind = ANY (ARRAY['valid'::text, 'invalid'::text])))
);

CREATE TABLE campaign_enrollments (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    campaign_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    contact_email text,
    contact_name text,
    current_step integer DEFAULT 0,
    status text NOT NULL DEFAULT 'active'::text,
    started_at timestamp with time zone NOT NULL DEFAULT now(),
    last_email_sent_at timestamp with time zone,
    next_email_scheduled_at timestamp with time zone,
    completed_at timestamp with time zone,
    interaction_history jsonb DEFAULT '[]'::jsonb,
    personalization_data jsonb DEFAULT '{}'::jsonb,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    updated_at timestamp with time zone NOT NULL DEFAULT now(),
    entry_key text NOT NULL DEFAULT ''::text,
    workspace_id uuid,
    CONSTRAINT campaign_enrollments_pkey PRIMARY KEY (id),
    CONSTRAINT campaign_enrollments_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES drip_campaigns(id) ON DELETE CASCADE,
    CONSTRAINT campaign_enrollments_status_check CHECK ((status = ANY (ARRAY['active'::text, 'paused'::text, 'completed'::text, 'unsubscribed'::text, 'bounced'::text])))
) WITH (autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=5000, fillfactor=45);
CREATE INDEX campaign_enrollments_contact ON public.campaign_enrollments USING btree (contact_id);
CREATE UNIQUE INDEX campaign_enrollments_entry_key ON public.campaign_enrollments USING btree (campaign_id, contact_id, entry_key);
CREATE TRIGGER create_workflow_state_on_enrollment AFTER INSERT ON public.campaign_enrollments REFERENCING NEW TABLE AS new_enrollments FOR EACH STATEMENT EXECUTE FUNCTION create_workflow_state_on_enrollment();
CREATE TRIGGER fill_enrollment_workspace BEFORE INSERT ON public.campaign_enrollments FOR EACH ROW WHEN ((new.workspace_id IS NULL)) EXECUTE FUNCTION fill_enrollment_workspace();

CREATE TABLE campaign_entry_queue (
    id bigint NOT NULL DEFAULT IDENTITY,
    trigger_id bigint NOT NULL,
    contact_id uuid NOT NULL,
    event_id uuid,
    workspace_id uuid,
    CONSTRAINT campaign_entry_queue_pkey PRIMARY KEY (trigger_id, id)
) WITH (autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=5000);

CREATE TABLE campaign_entry_triggers (
    id bigint NOT NULL DEFAULT IDENTITY,
    campaign_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    kind text NOT NULL,
    tag text,
    at_least numeric,
    event_type text,
    listens_to jsonb NOT NULL,
    since timestamp with time zone NOT NULL,
    has_backfill boolean NOT NULL,
    is_backfill_due boolean NOT NULL DEFAULT false,
    opens_after text,
    completed_through timestamp with time zone,
    pass_for timestamp with time zone,
    pass_reached uuid,
    CONSTRAINT campaign_entry_triggers_pkey PRIMARY KEY (id),
    CONSTRAINT campaign_entry_triggers_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES drip_campaigns(id) ON DELETE CASCADE,
    CONSTRAINT campaign_entry_triggers_campaign_id_key UNIQUE (campaign_id),
    CONSTRAINT campaign_entry_triggers_check CHECK (((kind = 'tag'::text) = (tag IS NOT NULL))),
    CONSTRAINT campaign_entry_triggers_check1 CHECK (((kind = 'score'::text) = (at_least IS NOT NULL))),
    CONSTRAINT campaign_entry_triggers_check2 CHECK (((kind = 'event'::text) = (event_type IS NOT NULL))),
    CONSTRAINT campaign_entry_triggers_check3 CHECK (((pass_reached IS NULL) OR (pass_for IS NOT NULL))),
    CONSTRAINT campaign_entry_triggers_kind_check CHECK ((kind = ANY (ARRAY['tag'::text, 'score'::text, 'schedule'::text, 'event'::text])))
);
CREATE INDEX campaign_entry_triggers_workspace ON public.campaign_entry_triggers USING btree (workspace_id, kind);

CREATE TABLE campaign_event_types (
    event_type text NOT NULL,
    channel text NOT NULL,
    description text NOT NULL,
    CONSTRAINT campaign_event_types_pkey PRIMARY KEY (event_type)
);

CREATE TABLE campaign_events (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    campaign_id uuid,
    enrollment_id uuid,
    contact_id uuid,
    event_type text NOT NULL,
    event_source text NOT NULL DEFAULT 'system'::text,
    step_id uuid,
    node_id text,
    event_data jsonb NOT NULL DEFAULT '{}'::jsonb,
    user_agent text,
    ip_address inet,
    device_type text,
    location_data jsonb,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    workspace_id uuid,
    campaign_version integer,
    variant_group text,
    message_id uuid,
    CONSTRAINT campaign_events_pkey PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX idx_campaign_events_created ON ONLY public.campaign_events USING brin (created_at);
CREATE INDEX idx_campaign_events_enrollment ON ONLY public.campaign_events USING btree (enrollment_id);
CREATE TRIGGER queue_campaign_events AFTER INSERT ON public.campaign_events REFERENCING NEW TABLE AS new_events FOR EACH STATEMENT EXECUTE FUNCTION queue_campaign_events();

CREATE TABLE campaign_events_default PARTITION OF campaign_events DEFAULT;
CREATE INDEX campaign_events_default_created_at_idx ON public.campaign_events_default USING brin (created_at);
CREATE INDEX campaign_events_default_enrollment_id_idx ON public.campaign_events_default USING btree (enrollment_id);

CREATE TABLE campaign_guards (
    campaign_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    entry_day date,
    entries bigint,
    trigger_entries bigint NOT NULL DEFAULT 0,
    entries_confirmed bigint,
    waits_until timestamp with time zone,
    waits_for text,
    waits_version integer,
    waiting bigint,
    agreed bigint,
    paused_by jsonb,
    paused_at timestamp with time zone,
    counted_from timestamp with time zone,
    CONSTRAINT campaign_guards_pkey PRIMARY KEY (campaign_id),
    CONSTRAINT campaign_guards_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES drip_campaigns(id) ON DELETE CASCADE,
    CONSTRAINT campaign_guards_waits_for_check CHECK ((waits_for = ANY (ARRAY['per_day'::text, 'confirm_above'::text])))
);

CREATE TABLE campaign_incident_notices (
    incident_id uuid NOT NULL,
    route text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamp with time zone NOT NULL,
    notified_at timestamp with time zone,
    last_error text,
    reports text NOT NULL DEFAULT 'opened'::text,
    number integer NOT NULL DEFAULT 1,
    CONSTRAINT campaign_incident_notices_pkey PRIMARY KEY (incident_id, route),
    CONSTRAINT campaign_incident_notices_incident_id_fkey FOREIGN KEY (incident_id) REFERENCES campaign_incidents(id) ON DELETE CASCADE,
    CONSTRAINT campaign_incident_notices_reports_check CHECK ((reports = ANY (ARRAY['opened'::text, 'resolved'::text]))),
    CONSTRAINT campaign_incident_notices_route_check CHECK ((route = ANY (ARRAY['mail'::text, 'webhook'::text])))
);
CREATE INDEX campaign_incident_notices_due ON public.campaign_incident_notices USING btree (next_attempt_at) WHERE (notified_at IS NULL);

CREATE TABLE campaign_incidents (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    incident_key text NOT NULL,
    kind text NOT NULL,
    workspace_id uuid,
    sentence text NOT NULL,
    what_to_do text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}'::jsonb,
    opened_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    resolved_at timestamp with time zone,
    CONSTRAINT campaign_incidents_pkey PRIMARY KEY (id),
    CONSTRAINT campaign_incidents_check CHECK ((seen_at >= opened_at))
);
CREATE INDEX campaign_incidents_key ON public.campaign_incidents USING btree (incident_key, opened_at);
CREATE UNIQUE INDEX campaign_incidents_open ON public.campaign_incidents USING btree (incident_key) WHERE (resolved_at IS NULL);

CREATE TABLE campaign_message_outcomes (
    message_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    campaign_version integer NOT NULL,
    enrollment_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    node_id text NOT NULL,
    step_id uuid,
    channel text NOT NULL,
    split_node_id text,
    variant_group text,
    certainty text NOT NULL DEFAULT 'known'::text,
    sent_at timestamp with time zone NOT NULL,
    delivered_at timestamp with time zone,
    first_opened_at timestamp with time zone,
    first_machine_opened_at timestamp with time zone,
    open_count integer NOT NULL DEFAULT 0,
    first_clicked_at timestamp with time zone,
    first_machine_clicked_at timestamp with time zone,
    click_count integer NOT NULL DEFAULT 0,
    first_replied_at timestamp with time zone,
    first_converted_at timestamp with time zone,
    conversion_value numeric(14,2) NOT NULL DEFAULT 0,
    unsubscribed_at timestamp with time zone,
    complained_at timestamp with time zone,
    bounced_at timestamp with time zone,
    failed_at timestamp with time zone,
    soft_bounced_at timestamp with time zone,
    CONSTRAINT campaign_message_outcomes_pkey PRIMARY KEY (message_id),
    CONSTRAINT campaign_message_outcomes_certainty_check CHECK ((certainty = ANY (ARRAY['known'::text, 'unknown'::text])))
) WITH (fillfactor=80);
CREATE INDEX campaign_message_outcomes_enrollment ON public.campaign_message_outcomes USING btree (enrollment_id, sent_at);
CREATE INDEX campaign_message_outcomes_sent ON public.campaign_message_outcomes USING brin (sent_at);
CREATE TRIGGER mark_changed_outcomes AFTER UPDATE ON public.campaign_message_outcomes REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION mark_ab_test_changes();
CREATE TRIGGER mark_days_of_changed_outcomes AFTER UPDATE ON public.campaign_message_outcomes REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION mark_stale_metric_days();
CREATE TRIGGER mark_days_of_new_outcomes AFTER INSERT ON public.campaign_message_outcomes REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION mark_stale_metric_days();
CREATE TRIGGER mark_new_outcomes AFTER INSERT ON public.campaign_message_outcomes REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION mark_ab_test_changes();

CREATE TABLE campaign_retention_watermarks (
    kind text NOT NULL,
    kept_from timestamp with time zone NOT NULL,
    CONSTRAINT campaign_retention_watermarks_pkey PRIMARY KEY (kind),
    CONSTRAINT campaign_retention_watermarks_kind_check CHECK ((kind = ANY (ARRAY['log'::text, 'deliveries'::text])))
);

CREATE TABLE campaign_split_assignments (
    enrollment_id uuid NOT NULL,
    split_node_id text NOT NULL,
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    campaign_version integer NOT NULL,
    ab_test_id uuid,
    contact_id uuid NOT NULL,
    variant_group text NOT NULL,
    is_holdout boolean NOT NULL DEFAULT false,
    is_randomized boolean NOT NULL DEFAULT true,
    assigned_at timestamp with time zone NOT NULL,
    first_converted_at timestamp with time zone,
    conversion_value numeric(14,2) NOT NULL DEFAULT 0,
    CONSTRAINT campaign_split_assignments_pkey PRIMARY KEY (enrollment_id, split_node_id),
    CONSTRAINT campaign_split_assignments_enrollment_id_fkey FOREIGN KEY (enrollment_id) REFERENCES campaign_enrollments(id) ON DELETE CASCADE
);
CREATE INDEX campaign_split_assignments_campaign ON public.campaign_split_assignments USING btree (campaign_id, split_node_id);
CREATE TRIGGER mark_changed_assignments AFTER UPDATE ON public.campaign_split_assignments REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION mark_ab_test_changes();
CREATE TRIGGER mark_new_assignments AFTER INSERT ON public.campaign_split_assignments REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION mark_ab_test_changes();

CREATE TABLE campaign_steps (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    campaign_id uuid NOT NULL,
    step_number integer,
    step_name text,
    day_delay integer DEFAULT 0,
    subject_line text,
    preheader_text text,
    email_body text,
    email_body_html text,
    cta jsonb,
    conditional_logic jsonb,
    metrics jsonb DEFAULT '{}'::jsonb,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    updated_at timestamp with time zone NOT NULL DEFAULT now(),
    node_id text,
    node_type text,
    node_position jsonb DEFAULT '{"x": 0, "y": 0}'::jsonb,
    channel_id uuid,
    channel_config jsonb,
    variant_group text,
    variant_percentage numeric(7,4),
    parent_split_id uuid,
    conditional_branches jsonb,
    wait_config jsonb,
    action_config jsonb,
    node_config jsonb,
    CONSTRAINT campaign_steps_pkey PRIMARY KEY (id),
    CONSTRAINT campaign_steps_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES drip_campaigns(id) ON DELETE CASCADE,
    CONSTRAINT campaign_steps_campaign_id_step_number_key UNIQUE (campaign_id, step_number),
    CONSTRAINT campaign_steps_channel_id_fkey FOREIGN KEY (channel_id) REFERENCES campaign_channels(id) ON DELETE SET NULL,
    CONSTRAINT campaign_steps_node_type_check CHECK ((node_type = ANY (ARRAY['trigger'::text, 'email'::text, 'wait'::text, 'condition'::text, 'split'::text, 'action'::text, 'exit'::text]))),
    CONSTRAINT campaign_steps_parent_split_id_fkey FOREIGN KEY (parent_split_id) REFERENCES campaign_steps(id) ON DELETE SET NULL,
    CONSTRAINT campaign_steps_variant_percentage_check CHECK (((variant_percentage >= (0)::numeric) AND (variant_percentage <= (100)::numeric)))
);
CREATE UNIQUE INDEX idx_campaign_steps_node_id ON public.campaign_steps USING btree (campaign_id, node_id);

CREATE TABLE campaign_suppressions (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL,
    contact_id uuid,
    address text NOT NULL,
    channel text,
    campaign_id uuid,
    reason text NOT NULL,
    source text NOT NULL DEFAULT 'manual'::text,
    created_at timestamp with time zone NOT NULL,
    note text,
    CONSTRAINT campaign_suppressions_pkey PRIMARY KEY (id),
    CONSTRAINT campaign_suppressions_reason_check CHECK ((reason = ANY (ARRAY['unsubscribed'::text, 'bounced'::text, 'complained'::text, 'manual'::text, 'soft_bounced'::text])))
);
CREATE INDEX campaign_suppressions_contact ON public.campaign_suppressions USING btree (contact_id) WHERE (contact_id IS NOT NULL);
CREATE UNIQUE INDEX campaign_suppressions_key ON public.campaign_suppressions USING btree (workspace_id, canonical_address(address), COALESCE(channel, ''::text), COALESCE(campaign_id, '00000000-0000-0000-0000-000000000000'::uuid));

CREATE TABLE campaign_versions (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    campaign_id uuid NOT NULL,
    version integer NOT NULL,
    campaign_snapshot jsonb NOT NULL,
    steps_snapshot jsonb NOT NULL,
    canvas_snapshot jsonb,
    change_description text,
    change_type text,
    created_by uuid,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    workspace_id uuid NOT NULL,
    compiled_graph jsonb,
    definition_hash text,
    graph_hash text,
    definition jsonb,
    waits_for text[] NOT NULL DEFAULT '{}'::text[],
    goal_event_type text,
    goal_within interval,
    content_hash text,
    goal_is_narrowed boolean NOT NULL DEFAULT false,
    reads_event boolean NOT NULL DEFAULT false,
    topic text,
    goal_ends_runs boolean NOT NULL DEFAULT false,
    goal_is_per_run boolean NOT NULL DEFAULT false,
    exit_events text[] NOT NULL DEFAULT '{}'::text[],
    exits_follow_contacts boolean NOT NULL DEFAULT false,
    CONSTRAINT campaign_versions_pkey PRIMARY KEY (id),
    CONSTRAINT campaign_versions_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES drip_campaigns(id) ON DELETE CASCADE,
    CONSTRAINT campaign_versions_change_type_check CHECK ((change_type = ANY (ARRAY['draft'::text, 'published'::text, 'archived'::text, 'ab_test_started'::text, 'ab_test_completed'::text, 'rollback'::text]))),
    CONSTRAINT campaign_versions_goal_check CHECK (((goal_event_type IS NULL) = (goal_within IS NULL)))
);
CREATE INDEX campaign_versions_goal ON public.campaign_versions USING btree (campaign_id, goal_event_type) WHERE (goal_event_type IS NOT NULL);
CREATE UNIQUE INDEX campaign_versions_number ON public.campaign_versions USING btree (campaign_id, version);

CREATE TABLE campaign_wait_listeners (
    campaign_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    opens_after text[],
    opens_since timestamp with time zone,
    is_open boolean NOT NULL DEFAULT false,
    CONSTRAINT campaign_wait_listeners_pkey PRIMARY KEY (campaign_id, kind, name),
    CONSTRAINT campaign_wait_listeners_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES drip_campaigns(id) ON DELETE CASCADE,
    CONSTRAINT campaign_wait_listeners_kind_check CHECK ((kind = ANY (ARRAY['field'::text, 'event'::text])))
);
CREATE INDEX campaign_wait_listeners_workspace ON public.campaign_wait_listeners USING btree (workspace_id, kind);

CREATE TABLE campaign_wait_queue (
    id bigint NOT NULL DEFAULT IDENTITY,
    contact_id uuid NOT NULL,
    workspace_id uuid,
    CONSTRAINT campaign_wait_queue_pkey PRIMARY KEY (id)
) WITH (autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=5000);

CREATE TABLE campaign_workflow_states (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    enrollment_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    current_node_id text,
    current_step_id uuid,
    workflow_status text NOT NULL DEFAULT 'running'::text,
    execution_path jsonb NOT NULL DEFAULT '[]'::jsonb,
    workflow_variables jsonb NOT NULL DEFAULT '{}'::jsonb,
    wait_until timestamp with time zone,
    wait_for_event text,
    retry_count integer NOT NULL DEFAULT 0,
    max_retries integer NOT NULL DEFAULT 3,
    assigned_variant text,
    variant_assigned_at timestamp with time zone,
    started_at timestamp with time zone NOT NULL DEFAULT now(),
    last_executed_at timestamp with time zone,
    next_execution_at timestamp with time zone,
    completed_at timestamp with time zone,
    workspace_id uuid NOT NULL,
    campaign_version integer,
    resume_port text,
    steps_taken integer NOT NULL DEFAULT 0,
    node_entered_at timestamp with time zone,
    last_message_at timestamp with time zone,
    pending_delivery_id uuid,
    exit_reason text,
    last_error text,
    batch_id uuid,
    CONSTRAINT campaign_workflow_states_pkey PRIMARY KEY (id),
    CONSTRAINT campaign_workflow_states_ended_has_time CHECK (((workflow_status = ANY (ARRAY['completed'::text, 'exited'::text, 'failed'::text])) = (completed_at IS NOT NULL))),
    CONSTRAINT campaign_workflow_states_enrollment_fkey FOREIGN KEY (id) REFERENCES campaign_enrollments(id) ON DELETE CASCADE,
    CONSTRAINT campaign_workflow_states_exit_has_reason CHECK (((workflow_status <> 'exited'::text) OR (exit_reason IS NOT NULL))),
    CONSTRAINT campaign_workflow_states_id_is_enrollment CHECK ((id = enrollment_id)),
    CONSTRAINT campaign_workflow_states_open_is_due CHECK (((workflow_status <> ALL (ARRAY['running'::text, 'waiting'::text])) OR (next_execution_at IS NOT NULL) OR (pending_delivery_id IS NOT NULL))),
    CONSTRAINT campaign_workflow_states_workflow_status_check CHECK ((workflow_status = ANY (ARRAY['running'::text, 'waiting'::text, 'paused'::text, 'completed'::text, 'failed'::text, 'exited'::text])))
) WITH (autovacuum_analyze_scale_factor=0.05, autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=5000, fillfactor=45);
CREATE INDEX idx_workflow_states_next_execution ON public.campaign_workflow_states USING btree (campaign_id, next_execution_at) WHERE ((workflow_status = ANY (ARRAY['running'::text, 'waiting'::text])) AND (next_execution_at IS NOT NULL));
CREATE INDEX idx_workflow_states_stopped ON public.campaign_workflow_states USING btree (campaign_id, workflow_status) WHERE (workflow_status = ANY (ARRAY['paused'::text, 'failed'::text]));
CREATE INDEX idx_workflow_states_waiting_contact ON public.campaign_workflow_states USING btree (contact_id) WHERE (wait_for_event IS NOT NULL);
CREATE TRIGGER fill_workflow_state BEFORE INSERT ON public.campaign_workflow_states FOR EACH ROW WHEN (((new.id <> new.enrollment_id) OR (new.workspace_id IS NULL))) EXECUTE FUNCTION fill_workflow_state();
CREATE TRIGGER record_deleted_enrollments AFTER DELETE ON public.campaign_workflow_states REFERENCING OLD TABLE AS deleted_rows FOR EACH STATEMENT EXECUTE FUNCTION record_deleted_enrollments();

CREATE TABLE channel_flow (
    transport text NOT NULL,
    channel text NOT NULL,
    channel_id uuid,
    second_permits double precision NOT NULL DEFAULT 0,
    hour_permits double precision NOT NULL DEFAULT 0,
    refilled_at timestamp with time zone NOT NULL,
    granted integer NOT NULL DEFAULT 0,
    consecutive_failures integer NOT NULL DEFAULT 0,
    window_started_at timestamp with time zone,
    window_attempts integer NOT NULL DEFAULT 0,
    window_failures integer NOT NULL DEFAULT 0,
    times_opened integer NOT NULL DEFAULT 0,
    open_until timestamp with time zone,
    probing_until timestamp with time zone,
    paused_until timestamp with time zone,
    disabled_at timestamp with time zone,
    last_error text,
    last_error_at timestamp with time zone,
    on_unknown text NOT NULL DEFAULT 'assume_sent'::text,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT channel_flow_pkey PRIMARY KEY (transport),
    CONSTRAINT channel_flow_on_unknown_check CHECK ((on_unknown = ANY (ARRAY['assume_sent'::text, 'retry'::text, 'hold'::text])))
);

CREATE TABLE contact_cap_locks (
    contact_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    CONSTRAINT contact_cap_locks_pkey PRIMARY KEY (contact_id),
    CONSTRAINT contact_cap_locks_contact_id_fkey FOREIGN KEY (contact_id) REFERENCES contacts(id) ON DELETE CASCADE
);

CREATE TABLE contact_erasure_values (
    erasure_id uuid NOT NULL,
    contact_id uuid,
    email text,
    phone text,
    name text,
    identifiers jsonb NOT NULL DEFAULT '{}'::jsonb,
    rewritten_at timestamp with time zone,
    failed_at timestamp with time zone,
    CONSTRAINT contact_erasure_values_pkey PRIMARY KEY (erasure_id),
    CONSTRAINT contact_erasure_values_erasure_id_fkey FOREIGN KEY (erasure_id) REFERENCES contact_erasures(id) ON DELETE CASCADE
);
CREATE INDEX contact_erasure_values_contact ON public.contact_erasure_values USING btree (contact_id);

CREATE TABLE contact_erasures (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL,
    requested_at timestamp with time zone NOT NULL,
    erased_at timestamp with time zone,
    CONSTRAINT contact_erasures_pkey PRIMARY KEY (id)
);
CREATE INDEX contact_erasures_pending ON public.contact_erasures USING btree (requested_at) WHERE (erased_at IS NULL);

CREATE TABLE contact_events (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    event_type text NOT NULL,
    value numeric(14,2),
    currency text,
    event_data jsonb NOT NULL DEFAULT '{}'::jsonb,
    occurred_at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT contact_events_pkey PRIMARY KEY (id)
);
CREATE INDEX contact_events_contact ON public.contact_events USING btree (contact_id, event_type, occurred_at);
CREATE TRIGGER queue_contact_events AFTER INSERT ON public.contact_events REFERENCING NEW TABLE AS new_events FOR EACH STATEMENT EXECUTE FUNCTION queue_contact_events();

CREATE TABLE contact_sends (
    contact_id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    channel text NOT NULL,
    counted_at timestamp with time zone NOT NULL,
    CONSTRAINT contact_sends_pkey PRIMARY KEY (contact_id, delivery_id),
    CONSTRAINT contact_sends_contact_id_fkey FOREIGN KEY (contact_id) REFERENCES contact_cap_locks(contact_id) ON DELETE CASCADE
);

CREATE TABLE contacts (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL,
    name text,
    email text,
    company text,
    phone text,
    job_title text,
    ai_score integer DEFAULT 0,
    status text DEFAULT 'prospect'::text,
    tags text[] DEFAULT '{}'::text[],
    custom_fields jsonb DEFAULT '{}'::jsonb,
    last_interaction timestamp with time zone,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    updated_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT contacts_pkey PRIMARY KEY (id),
    CONSTRAINT contacts_ai_score_check CHECK (((ai_score >= 0) AND (ai_score <= 100))),
    CONSTRAINT contacts_status_check CHECK ((status = ANY (ARRAY['prospect'::text, 'lead'::text, 'customer'::text, 'contact'::text]))),
    CONSTRAINT contacts_workspace_id_email_key UNIQUE (workspace_id, email),
    CONSTRAINT contacts_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(id) ON DELETE CASCADE
);
CREATE INDEX contacts_address ON public.contacts USING btree (canonical_email(email), workspace_id);
CREATE INDEX contacts_phone ON public.contacts USING btree (canonical_phone(phone)) WHERE (phone IS NOT NULL);
CREATE TRIGGER announce_followed_contacts BEFORE UPDATE ON public.contacts FOR EACH STATEMENT EXECUTE FUNCTION announce_followed_contacts();
CREATE TRIGGER queue_changed_matches AFTER UPDATE ON public.contacts FOR EACH ROW WHEN (((old.tags IS DISTINCT FROM new.tags) OR (old.ai_score IS DISTINCT FROM new.ai_score))) EXECUTE FUNCTION queue_matching_contacts();
CREATE TRIGGER queue_followed_contacts AFTER UPDATE ON public.contacts FOR EACH ROW WHEN (((current_setting('drip.follows_contacts'::text, true) = 'all'::text) OR ((current_setting('drip.follows_contacts'::text, true) = 'custom_fields'::text) AND (old.custom_fields IS DISTINCT FROM new.custom_fields)))) EXECUTE FUNCTION queue_followed_contacts();
CREATE TRIGGER queue_new_matches AFTER INSERT ON public.contacts FOR EACH ROW WHEN (((cardinality(new.tags) > 0) OR (new.ai_score > 0))) EXECUTE FUNCTION queue_matching_contacts();
CREATE TRIGGER record_contact_erasures AFTER DELETE ON public.contacts REFERENCING OLD TABLE AS deleted_contacts FOR EACH STATEMENT EXECUTE FUNCTION record_contact_erasures();

CREATE TABLE demo_workspaces (
    workspace_id uuid NOT NULL,
    CONSTRAINT demo_workspaces_pkey PRIMARY KEY (workspace_id),
    CONSTRAINT demo_workspaces_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(id) ON DELETE CASCADE
);

CREATE TABLE drip_campaigns (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL,
    name text NOT NULL,
    description text,
    sequence_type text NOT NULL DEFAULT 'custom'::text,
    goal text,
    status text NOT NULL DEFAULT 'draft'::text,
    total_steps integer DEFAULT 0,
    is_template boolean DEFAULT false,
    tags text[] DEFAULT '{}'::text[],
    metrics jsonb DEFAULT '{}'::jsonb,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    updated_at timestamp with time zone NOT NULL DEFAULT now(),
    campaign_type text DEFAULT 'linear'::text,
    canvas_data jsonb DEFAULT '{"edges": [], "nodes": [], "viewport": {}}'::jsonb,
    ab_test_config jsonb,
    ab_test_winner_id uuid,
    ab_test_completed_at timestamp with time zone,
    goal_metric text,
    goal_target numeric(5,2),
    version integer DEFAULT 1,
    parent_campaign_id uuid,
    published_version integer,
    drip_settings jsonb NOT NULL DEFAULT '{}'::jsonb,
    CONSTRAINT drip_campaigns_pkey PRIMARY KEY (id),
    CONSTRAINT drip_campaigns_ab_test_winner_id_fkey FOREIGN KEY (ab_test_winner_id) REFERENCES campaign_steps(id) ON DELETE SET NULL,
    CONSTRAINT drip_campaigns_campaign_type_check CHECK ((campaign_type = ANY (ARRAY['linear'::text, 'branching'::text, 'ab_test'::text]))),
    CONSTRAINT drip_campaigns_goal_metric_check CHECK ((goal_metric = ANY (ARRAY['open_rate'::text, 'click_rate'::text, 'reply_rate'::text, 'conversion_rate'::text, 'engagement_score'::text]))),
    CONSTRAINT drip_campaigns_parent_campaign_id_fkey FOREIGN KEY (parent_campaign_id) REFERENCES drip_campaigns(id) ON DELETE SET NULL,
    CONSTRAINT drip_campaigns_sequence_type_check CHECK ((sequence_type = ANY (ARRAY['cold_outreach'::text, 'lead_nurture'::text, 'onboarding'::text, 're_engagement'::text, 'custom'::text]))),
    CONSTRAINT drip_campaigns_status_check CHECK ((status = ANY (ARRAY['draft'::text, 'active'::text, 'paused'::text, 'archived'::text]))),
    CONSTRAINT drip_campaigns_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(id) ON DELETE CASCADE
);
CREATE TRIGGER sync_entry_trigger_of_campaign AFTER INSERT OR UPDATE OF published_version, status ON public.drip_campaigns FOR EACH ROW WHEN ((new.published_version IS NOT NULL)) EXECUTE FUNCTION sync_entry_trigger_of_campaign();
CREATE TRIGGER sync_wait_listeners_of_campaign AFTER INSERT OR UPDATE OF published_version, status ON public.drip_campaigns FOR EACH ROW WHEN ((new.published_version IS NOT NULL)) EXECUTE FUNCTION sync_wait_listeners_of_campaign();

CREATE TABLE drip_schema_functions (
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT drip_schema_functions_pkey PRIMARY KEY (name)
);
ALTER TABLE drip_schema_functions ENABLE ROW LEVEL SECURITY;

CREATE TABLE drip_schema_migrations (
    version integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone NOT NULL DEFAULT now(),
    duration_ms integer NOT NULL,
    CONSTRAINT drip_schema_migrations_pkey PRIMARY KEY (version)
);
ALTER TABLE drip_schema_migrations ENABLE ROW LEVEL SECURITY;

CREATE TABLE drip_schema_objects (
    kind text NOT NULL,
    name text NOT NULL,
    CONSTRAINT drip_schema_objects_pkey PRIMARY KEY (kind, name),
    CONSTRAINT drip_schema_objects_kind_check CHECK ((kind = ANY (ARRAY['table'::text, 'view'::text, 'function'::text])))
);

CREATE TABLE erased_suppressions (
    id bigint NOT NULL DEFAULT IDENTITY,
    workspace_id uuid NOT NULL,
    key_id text NOT NULL,
    address_hash bytea NOT NULL,
    channel text,
    campaign_id uuid,
    topic text,
    reason text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT erased_suppressions_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX erased_suppressions_key ON public.erased_suppressions USING btree (workspace_id, address_hash, COALESCE(channel, ''::text), COALESCE(campaign_id, '00000000-0000-0000-0000-000000000000'::uuid), COALESCE(topic, ''::text));

CREATE TABLE event_inbox (
    id bigint NOT NULL DEFAULT IDENTITY,
    provider text NOT NULL,
    payload bytea NOT NULL,
    context jsonb NOT NULL DEFAULT '{}'::jsonb,
    received_at timestamp with time zone NOT NULL,
    status text NOT NULL DEFAULT 'pending'::text,
    due_at timestamp with time zone,
    attempts integer NOT NULL DEFAULT 0,
    reason text,
    settled_at timestamp with time zone,
    CONSTRAINT event_inbox_pkey PRIMARY KEY (id),
    CONSTRAINT event_inbox_check CHECK (((status = 'pending'::text) = (due_at IS NOT NULL))),
    CONSTRAINT event_inbox_check1 CHECK (((status <> 'pending'::text) = (settled_at IS NOT NULL))),
    CONSTRAINT event_inbox_check2 CHECK (((status <> 'rejected'::text) OR (reason IS NOT NULL))),
    CONSTRAINT event_inbox_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'done'::text, 'rejected'::text])))
);
CREATE INDEX event_inbox_due ON public.event_inbox USING btree (due_at, id) WHERE (status = 'pending'::text);
CREATE INDEX event_inbox_rejected ON public.event_inbox USING btree (provider, id) WHERE (status = 'rejected'::text);

CREATE TABLE event_names (
    workspace_id uuid NOT NULL,
    event_type text NOT NULL,
    first_seen_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    events bigint NOT NULL,
    properties jsonb NOT NULL DEFAULT '{}'::jsonb,
    CONSTRAINT event_names_pkey PRIMARY KEY (workspace_id, event_type),
    CONSTRAINT event_names_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(id) ON DELETE CASCADE
);

CREATE TABLE ingested_event_keys (
    event_key uuid NOT NULL,
    recorded_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT ingested_event_keys_pkey PRIMARY KEY (event_key)
);

CREATE TABLE landed_files (
    id bigint NOT NULL DEFAULT IDENTITY,
    path text NOT NULL,
    size_bytes bigint NOT NULL,
    modified_ns bigint NOT NULL,
    provider text NOT NULL,
    outcome text NOT NULL,
    error text,
    lines bigint NOT NULL DEFAULT 0,
    accepted bigint NOT NULL DEFAULT 0,
    duplicates bigint NOT NULL DEFAULT 0,
    rejected jsonb NOT NULL DEFAULT '{}'::jsonb,
    resumed bigint NOT NULL DEFAULT 0,
    ended bigint NOT NULL DEFAULT 0,
    suppressed bigint NOT NULL DEFAULT 0,
    duration_ms bigint NOT NULL DEFAULT 0,
    run_id text,
    loaded_at timestamp with time zone NOT NULL,
    CONSTRAINT landed_files_pkey PRIMARY KEY (id),
    CONSTRAINT landed_files_check CHECK (((error IS NULL) = (outcome = 'loaded'::text))),
    CONSTRAINT landed_files_outcome_check CHECK ((outcome = ANY (ARRAY['loaded'::text, 'unreadable'::text, 'failed'::text])))
);
CREATE UNIQUE INDEX landed_files_identity ON public.landed_files USING btree (path, size_bytes, modified_ns);

CREATE TABLE operator_actions (
    id uuid NOT NULL,
    workspace_id uuid,
    actor text NOT NULL,
    source text NOT NULL,
    action text NOT NULL,
    object_kind text NOT NULL,
    object_id uuid,
    object_name text,
    reason text,
    details jsonb NOT NULL DEFAULT '{}'::jsonb,
    occurred_at timestamp with time zone NOT NULL,
    CONSTRAINT operator_actions_pkey PRIMARY KEY (id),
    CONSTRAINT operator_actions_source_check CHECK ((source = ANY (ARRAY['cli'::text, 'dagster'::text, 'receiver'::text, 'studio'::text, 'library'::text, 'engine'::text])))
);
CREATE INDEX operator_actions_object ON public.operator_actions USING btree (object_id, occurred_at) WHERE (object_id IS NOT NULL);
CREATE INDEX operator_actions_occurred_at ON public.operator_actions USING btree (occurred_at, id);

CREATE TABLE receiver_counts (
    counted_on date NOT NULL,
    endpoint text NOT NULL,
    outcome text NOT NULL,
    requests bigint NOT NULL,
    CONSTRAINT receiver_counts_pkey PRIMARY KEY (counted_on, endpoint, outcome)
);

CREATE TABLE recorded_messages (
    id bigint NOT NULL DEFAULT IDENTITY,
    delivery_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    campaign_id uuid NOT NULL,
    enrollment_id uuid NOT NULL,
    node_id text NOT NULL,
    channel text NOT NULL,
    recipient text NOT NULL,
    subject text,
    preheader text,
    body text,
    body_html text,
    payload jsonb,
    recorded_at timestamp with time zone NOT NULL,
    CONSTRAINT recorded_messages_pkey PRIMARY KEY (id)
);

CREATE TABLE rejected_cells (
    id bigint NOT NULL DEFAULT IDENTITY,
    workspace_id uuid NOT NULL,
    source text NOT NULL,
    line_number bigint NOT NULL,
    column_name text NOT NULL,
    reason text NOT NULL,
    cell text NOT NULL,
    rejected_at timestamp with time zone NOT NULL,
    address text,
    CONSTRAINT rejected_cells_pkey PRIMARY KEY (id),
    CONSTRAINT rejected_cells_workspace_id_source_line_number_column_name_key UNIQUE (workspace_id, source, line_number, column_name)
);

CREATE TABLE rejected_contacts (
    id bigint NOT NULL DEFAULT IDENTITY,
    workspace_id uuid NOT NULL,
    source text NOT NULL,
    line_number bigint NOT NULL,
    reason text NOT NULL,
    rejected_at timestamp with time zone NOT NULL,
    CONSTRAINT rejected_contacts_pkey PRIMARY KEY (id),
    CONSTRAINT rejected_contacts_workspace_id_source_line_number_key UNIQUE (workspace_id, source, line_number)
);

CREATE TABLE rejected_events (
    id bigint NOT NULL DEFAULT IDENTITY,
    workspace_id uuid,
    source text NOT NULL,
    line_number bigint,
    reason text NOT NULL,
    raw text,
    rejected_at timestamp with time zone NOT NULL DEFAULT now(),
    provider text,
    CONSTRAINT rejected_events_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX rejected_events_line ON public.rejected_events USING btree (source, COALESCE(line_number, (0)::bigint), md5(COALESCE(raw, ''::text)));
CREATE INDEX rejected_events_recent ON public.rejected_events USING btree (rejected_at);

CREATE TABLE stale_metric_days (
    id bigint NOT NULL DEFAULT IDENTITY,
    workspace_id uuid NOT NULL,
    metric_date date NOT NULL,
    marked_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT stale_metric_days_pkey PRIMARY KEY (id)
);

CREATE TABLE topic_consents (
    workspace_id uuid NOT NULL,
    topic text NOT NULL,
    address text NOT NULL,
    contact_id uuid,
    status text NOT NULL,
    decided_by text NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    CONSTRAINT topic_consents_pkey PRIMARY KEY (workspace_id, topic, address),
    CONSTRAINT topic_consents_decided_by_check CHECK ((decided_by = ANY (ARRAY['person'::text, 'operator'::text]))),
    CONSTRAINT topic_consents_status_check CHECK ((status = ANY (ARRAY['subscribed'::text, 'pending'::text, 'unsubscribed'::text]))),
    CONSTRAINT topic_consents_workspace_id_topic_fkey FOREIGN KEY (workspace_id, topic) REFERENCES workspace_topics(workspace_id, name) ON DELETE CASCADE
);
CREATE INDEX topic_consents_contact ON public.topic_consents USING btree (contact_id) WHERE (contact_id IS NOT NULL);

CREATE TABLE trigger_calls (
    campaign_id uuid NOT NULL,
    call_key text NOT NULL,
    workspace_id uuid NOT NULL,
    body_hash text NOT NULL,
    answer jsonb NOT NULL,
    called_at timestamp with time zone NOT NULL,
    CONSTRAINT trigger_calls_pkey PRIMARY KEY (campaign_id, call_key)
);

CREATE TABLE workspace_rules (
    workspace_id uuid NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    config jsonb NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT workspace_rules_pkey PRIMARY KEY (workspace_id, kind, name),
    CONSTRAINT workspace_rules_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(id) ON DELETE CASCADE
);

CREATE TABLE workspace_topics (
    workspace_id uuid NOT NULL,
    name text NOT NULL,
    title text NOT NULL,
    description text,
    double_opt_in boolean NOT NULL DEFAULT false,
    archived_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT workspace_topics_pkey PRIMARY KEY (workspace_id, name),
    CONSTRAINT workspace_topics_name_check CHECK ((name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'::text)),
    CONSTRAINT workspace_topics_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces(id) ON DELETE CASCADE
);

CREATE TABLE workspaces (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    org_id uuid,
    name text NOT NULL,
    time_zone text NOT NULL DEFAULT 'UTC'::text,
    default_region text,
    CONSTRAINT workspaces_pkey PRIMARY KEY (id),
    CONSTRAINT workspaces_default_region_check CHECK ((default_region ~ '^[A-Z]{2}$'::text)),
    CONSTRAINT workspaces_time_zone_check CHECK ((('2000-01-01 00:00:00+00'::timestamp with time zone AT TIME ZONE time_zone) IS NOT NULL))
);
CREATE TRIGGER mark_days_of_moved_workspace AFTER UPDATE OF time_zone ON public.workspaces FOR EACH ROW WHEN ((new.time_zone IS DISTINCT FROM old.time_zone)) EXECUTE FUNCTION mark_days_of_moved_workspace();

-- announce_followed_contacts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- calculate_ab_test_metrics(p_campaign_id uuid) RETURNS TABLE(variant_group text, open_rate numeric, click_rate numeric, conversion_rate numeric, engagement_score numeric, sample_size bigint) LANGUAGE sql STABLE
-- campaign_content_hash(p_campaign_id uuid) RETURNS text LANGUAGE sql STABLE
-- canonical_address(p_address text) RETURNS text LANGUAGE sql IMMUTABLE
-- canonical_email(p_email text) RETURNS text LANGUAGE sql IMMUTABLE
-- canonical_phone(p_phone text) RETURNS text LANGUAGE sql IMMUTABLE
-- canonical_unicode_email(p_email text) RETURNS text LANGUAGE plpgsql IMMUTABLE
-- canonical_written_phone(p_phone text) RETURNS text LANGUAGE plpgsql IMMUTABLE
-- claim_due_states(p_batch_size integer, p_now timestamp with time zone, p_shard integer DEFAULT 0, p_shards integer DEFAULT 1, p_from_watermarks boolean DEFAULT false) RETURNS TABLE(id uuid, campaign_id uuid, campaign_version integer, contact_id uuid, current_node_id text, resume_port text, retry_count integer, max_retries integer, steps_taken integer, enrollment_status text, next_execution_at timestamp with time zone) LANGUAGE sql
-- contacts_outside_topic(p_workspace_id uuid, p_topic text, p_contact_ids uuid[]) RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER SET search_path=public, pg_temp
-- conversion_id(p_campaign_id uuid, p_event_id uuid) RETURNS uuid LANGUAGE sql IMMUTABLE
-- conversion_touches(p_contact_id uuid, p_event_type text, p_occurred_at timestamp with time zone, p_campaign_id uuid, p_refused text[]) RETURNS TABLE(workspace_id uuid, campaign_id uuid, campaign_version integer, enrollment_id uuid, node_id text, step_id uuid, message_id uuid, variant_group text) LANGUAGE sql STABLE
-- count_ab_test_variants(p_test_ids uuid[], p_metrics text[], p_window_hours double precision[], p_now timestamp with time zone) RETURNS TABLE(ab_test_id uuid, variant_group text, is_holdout boolean, first_assigned_at timestamp with time zone, total_assigned bigint, total_sent bigint, total_delivered bigint, total_opened bigint, total_clicked bigint, total_replied bigint, total_converted bigint, total_unsubscribed bigint, total_bounced bigint, total_complained bigint, total_machine_opened bigint, total_machine_clicked bigint, cohort_contacts bigint, cohort_successes bigint, cohort_score_sum numeric, cohort_score_sum_squares numeric) LANGUAGE sql STABLE
-- count_ab_test_variants_until(p_test_ids uuid[], p_metrics text[], p_window_hours double precision[], p_now timestamp with time zone, p_until timestamp with time zone) RETURNS TABLE(ab_test_id uuid, variant_group text, is_holdout boolean, first_assigned_at timestamp with time zone, total_assigned bigint, total_sent bigint, total_delivered bigint, total_opened bigint, total_clicked bigint, total_replied bigint, total_converted bigint, total_unsubscribed bigint, total_bounced bigint, total_complained bigint, total_machine_opened bigint, total_machine_clicked bigint, cohort_contacts bigint, cohort_successes bigint, cohort_score_sum numeric, cohort_score_sum_squares numeric) LANGUAGE sql STABLE
-- count_contacts_entered(p_campaign_id uuid) RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path=public, pg_temp
-- count_entries_since(p_campaign_id uuid, p_since timestamp with time zone) RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path=public, pg_temp
-- create_campaign_version_snapshot(p_campaign_id uuid, p_description text DEFAULT NULL::text, p_change_type text DEFAULT 'draft'::text, p_now timestamp with time zone DEFAULT now(), p_created_by uuid DEFAULT NULL::uuid) RETURNS uuid LANGUAGE plpgsql
-- create_imported_contacts() RETURNS void LANGUAGE plpgsql
-- create_workflow_state_on_enrollment() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- detach_event_month(p_month date, p_now timestamp with time zone) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- drip_disable_triggers(p_table regclass) RETURNS text[] LANGUAGE plpgsql
-- drip_drop_constraints(p_table regclass, p_kind text, VARIADIC p_columns text[]) RETURNS void LANGUAGE plpgsql
-- drip_enable_triggers(p_table regclass, p_names text[]) RETURNS void LANGUAGE plpgsql
-- drip_protect_table(p_table regclass) RETURNS void LANGUAGE plpgsql
-- drip_restore_dependents() RETURNS void LANGUAGE plpgsql
-- drip_save_dependents(p_replaced boolean, VARIADIC p_tables regclass[]) RETURNS void LANGUAGE plpgsql
-- drip_set_privileges() RETURNS TABLE(open_table text) LANGUAGE plpgsql
-- drip_strip_table(p_table regclass, VARIADIC p_columns text[]) RETURNS void LANGUAGE plpgsql
-- drop_archived_month(p_archive_id bigint, p_file text, p_rows bigint, p_now timestamp with time zone) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- enroll_contacts(p_campaign_id uuid, p_workspace_id uuid, p_contact_ids uuid[], p_entry_keys text[], p_entry_data text[], p_re_entry text, p_ended_before timestamp with time zone, p_by_email boolean, p_by_sms boolean, p_contacts_left bigint, p_runs_left bigint, p_is_dry_run boolean, p_now timestamp with time zone) RETURNS TABLE(result text, contacts bigint, locked_ids uuid[], new_contacts bigint) LANGUAGE plpgsql SET plan_cache_mode=force_custom_plan
-- ensure_event_partitions(p_now timestamp with time zone) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout=1s SET search_path=public, pg_temp
-- enter_enrollments(p_enrollment_ids uuid[]) RETURNS bigint LANGUAGE sql
-- erased_event_data(p_event_type text, p_event_source text, p_data jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
-- fill_enrollment_workspace() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- fill_workflow_state() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- get_next_workflow_executions(batch_size integer DEFAULT 100, p_now timestamp with time zone DEFAULT now()) RETURNS SETOF campaign_workflow_states LANGUAGE sql
-- has_happened_since(p_enrollment_id uuid, p_contact_id uuid, p_event_type text, p_since timestamp with time zone) RETURNS boolean LANGUAGE sql STABLE
-- insert_imported_contacts(p_workspace_id uuid, p_first_line bigint, p_last_line bigint, p_now timestamp with time zone) RETURNS TABLE(written bigint, refused bigint[]) LANGUAGE plpgsql SET plan_cache_mode=force_custom_plan
-- latest_message(p_enrollment_id uuid, p_channel text) RETURNS TABLE(message_id uuid, sent_at timestamp with time zone) LANGUAGE sql STABLE
-- mark_ab_test_changes() RETURNS trigger LANGUAGE plpgsql
-- mark_days_of_moved_workspace() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- mark_stale_metric_days() RETURNS trigger LANGUAGE plpgsql
-- merge_imported_contacts(p_workspace_id uuid, p_first_line bigint, p_last_line bigint, p_now timestamp with time zone) RETURNS TABLE(inserted bigint, updated bigint, unchanged bigint, unsubscribed bigint, refused bigint[]) LANGUAGE plpgsql
-- message_channel_of(p_event_type text) RETURNS text LANGUAGE sql IMMUTABLE
-- message_outcomes_in_log(p_from timestamp with time zone, p_to timestamp with time zone) RETURNS TABLE(message_id uuid, delivered_at timestamp with time zone, first_opened_at timestamp with time zone, first_machine_opened_at timestamp with time zone, open_count bigint, first_clicked_at timestamp with time zone, first_machine_clicked_at timestamp with time zone, click_count bigint, first_replied_at timestamp with time zone, first_converted_at timestamp with time zone, conversion_value numeric, unsubscribed_at timestamp with time zone, complained_at timestamp with time zone, bounced_at timestamp with time zone, failed_at timestamp with time zone, soft_bounced_at timestamp with time zone) LANGUAGE sql STABLE
-- message_outcomes_that_differ(p_from timestamp with time zone, p_to timestamp with time zone) RETURNS TABLE(message_id uuid, delivered_at timestamp with time zone, first_opened_at timestamp with time zone, first_machine_opened_at timestamp with time zone, open_count bigint, first_clicked_at timestamp with time zone, first_machine_clicked_at timestamp with time zone, click_count bigint, first_replied_at timestamp with time zone, first_converted_at timestamp with time zone, conversion_value numeric, unsubscribed_at timestamp with time zone, complained_at timestamp with time zone, bounced_at timestamp with time zone, failed_at timestamp with time zone, soft_bounced_at timestamp with time zone) LANGUAGE sql STABLE
-- people_in_flight(p_campaign_id uuid, p_versions integer[]) RETURNS TABLE(state_id uuid, contact_id uuid, version integer, node_id text, status text, enrollment_status text, situation text, delivery_id uuid, delivery_status text, delivery_attempts integer, came_at timestamp with time zone, looks_back_to timestamp with time zone) LANGUAGE sql STABLE
-- queue_campaign_events() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- queue_contact_events() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- queue_followed_contacts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- queue_matching_contacts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- receiver_confirm(p_delivery_id uuid, p_now timestamp with time zone) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- receiver_confirmation(p_delivery_id uuid) RETURNS TABLE(topic text, title text, status text) LANGUAGE sql STABLE SECURITY DEFINER SET search_path=public, pg_temp
-- receiver_left_at(p_delivery_id uuid) RETURNS timestamp with time zone LANGUAGE sql STABLE SECURITY DEFINER SET search_path=public, pg_temp
-- receiver_recipient(p_delivery_id uuid) RETURNS TABLE(contact_id uuid, channel text, is_unsubscribed boolean, phone text, region text) LANGUAGE sql STABLE SECURITY DEFINER SET search_path=public, pg_temp
-- receiver_resubscribe(p_delivery_id uuid, p_number text, p_now timestamp with time zone) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path=public, pg_temp
-- receiver_set_topics(p_delivery_id uuid, p_number text, p_topics text[], p_statuses text[], p_now timestamp with time zone) RETURNS TABLE(topic text, status text) LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- receiver_topics(p_delivery_id uuid) RETURNS TABLE(topic text, title text, description text, is_of_message boolean, status text, is_locked boolean) LANGUAGE sql STABLE SECURITY DEFINER SET search_path=public, pg_temp
-- receiver_unsubscribe(p_delivery_id uuid, p_number text, p_source text, p_now timestamp with time zone) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path=public, pg_temp
-- record_contact_erasures() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- record_deleted_enrollments() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- repeatedly_soft_bounced(p_contact_ids uuid[], p_since timestamp with time zone[], p_time_span interval, p_threshold integer) RETURNS SETOF uuid LANGUAGE sql STABLE
-- set_topic_consent(p_workspace_id uuid, p_topic text, p_contact_id uuid, p_addresses text[], p_status text, p_decided_by text, p_now timestamp with time zone) RETURNS bigint LANGUAGE plpgsql
-- suppress_imported_contacts(p_workspace_id uuid, p_first_line bigint, p_last_line bigint, p_now timestamp with time zone) RETURNS bigint LANGUAGE plpgsql SET plan_cache_mode=force_custom_plan
-- sync_entry_trigger(p_campaign_id uuid) RETURNS void LANGUAGE plpgsql
-- sync_entry_trigger_of_campaign() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- sync_wait_listeners(p_campaign_id uuid) RETURNS void LANGUAGE plpgsql
-- sync_wait_listeners_of_campaign() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- topic_consent_of(p_workspace_id uuid, p_topic text, p_contact_id uuid, p_email text, p_phone text) RETURNS TABLE(has_left boolean, has_joined boolean, is_pending boolean, is_locked boolean) LANGUAGE sql STABLE
-- trigger_contacts(p_campaign_id uuid, p_addresses text[]) RETURNS TABLE(address text, contact_id uuid) LANGUAGE plpgsql SECURITY DEFINER SET plan_cache_mode=force_custom_plan SET search_path=public, pg_temp
-- trigger_earlier_call(p_campaign_id uuid, p_call_key text) RETURNS TABLE(body_hash text, answer jsonb) LANGUAGE sql STABLE SECURITY DEFINER SET search_path=public, pg_temp
-- trigger_enroll_contacts(p_campaign_id uuid, p_contact_ids uuid[], p_entry_keys text[], p_entry_data text[], p_re_entry text, p_ended_before timestamp with time zone, p_by_email boolean, p_by_sms boolean, p_contacts_left bigint, p_runs_left bigint, p_now timestamp with time zone) RETURNS TABLE(result text, contacts bigint, locked_ids uuid[], new_contacts bigint) LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- trigger_merge_contacts(p_campaign_id uuid, p_rows jsonb, p_refusals_only boolean, p_now timestamp with time zone) RETURNS TABLE(inserted bigint, refused bigint[]) LANGUAGE plpgsql SECURITY DEFINER SET search_path=public, pg_temp
-- update_imported_contacts(p_workspace_id uuid, p_first_line bigint, p_last_line bigint, p_now timestamp with time zone) RETURNS TABLE(written bigint, refused bigint[]) LANGUAGE plpgsql SET plan_cache_mode=force_custom_plan
-- workspace_day_bounds(p_first date, p_last date) RETURNS TABLE(day_start timestamp with time zone, day_end timestamp with time zone) LANGUAGE sql STABLE
-- workspace_of_webhook_campaign(p_campaign_id uuid) RETURNS uuid LANGUAGE plpgsql
