-- Cells that an import could not read: the contact was taken without them.
CREATE TABLE IF NOT EXISTS rejected_cells (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id uuid NOT NULL,
    source text NOT NULL,
    line_number bigint NOT NULL,
    column_name text NOT NULL,
    reason text NOT NULL,
    -- The beginning of the cell, so that it can be corrected.
    cell text NOT NULL,
    rejected_at timestamptz NOT NULL,
    UNIQUE (workspace_id, source, line_number, column_name)
);

SELECT drip_protect_table('rejected_cells');
