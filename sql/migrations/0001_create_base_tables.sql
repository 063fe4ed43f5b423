-- The tables that an application already has, created only where they are missing. On a database with people in it
-- every statement here is a no-op; columns beyond these are never touched.

CREATE TABLE IF NOT EXISTS workspaces (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id uuid,
    name text NOT NULL
);

CREATE TABLE IF NOT EXISTS contacts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    name text,
    email text,
    company text,
    phone text,
    job_title text,
    ai_score integer DEFAULT 0 CHECK (ai_score BETWEEN 0 AND 100),
    status text DEFAULT 'prospect' CHECK (status IN ('prospect', 'lead', 'customer', 'contact')),
    tags text[] DEFAULT '{}',
    custom_fields jsonb DEFAULT '{}',
    last_interaction timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, email)
);

CREATE TABLE IF NOT EXISTS drip_campaigns (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    name text NOT NULL,
    description text,
    sequence_type text NOT NULL DEFAULT 'custom'
        CHECK (sequence_type IN ('cold_outreach', 'lead_nurture', 'onboarding', 're_engagement', 'custom')),
    goal text,
    status text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'active', 'paused', 'archived')),
    total_steps integer DEFAULT 0,
    is_template boolean DEFAULT false,
    tags text[] DEFAULT '{}',
    metrics jsonb DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS campaign_steps (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    campaign_id uuid NOT NULL REFERENCES drip_campaigns (id) ON DELETE CASCADE,
    step_number integer,
    step_name text,
    day_delay integer DEFAULT 0,
    subject_line text,
    preheader_text text,
    email_body text,
    email_body_html text,
    cta jsonb,
    conditional_logic jsonb,
    metrics jsonb DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (campaign_id, step_number)
);

CREATE TABLE IF NOT EXISTS campaign_enrollments (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    campaign_id uuid NOT NULL REFERENCES drip_campaigns (id) ON DELETE CASCADE,
    contact_id uuid NOT NULL REFERENCES contacts (id) ON DELETE CASCADE,
    contact_email text,
    contact_name text,
    current_step integer DEFAULT 0,
    status text NOT NULL DEFAULT 'active'
        CHECK (status IN ('active', 'paused', 'completed', 'unsubscribed', 'bounced')),
    started_at timestamptz NOT NULL DEFAULT now(),
    last_email_sent_at timestamptz,
    next_email_scheduled_at timestamptz,
    completed_at timestamptz,
    interaction_history jsonb DEFAULT '[]',
    personalization_data jsonb DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (campaign_id, contact_id)
);

CREATE TABLE IF NOT EXISTS campaign_channels (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    channel_slug text NOT NULL,
    channel_name text NOT NULL,
    channel_category text NOT NULL
        CHECK (channel_category IN ('website', 'blog', 'social', 'email', 'video', 'advertising')),
    platform text,
    is_active boolean NOT NULL DEFAULT true,
    specs jsonb DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, channel_slug)
);
