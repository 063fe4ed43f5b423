-- Whose cell it is, so that it can be erased and exported with its contact. Null in rows from before.
ALTER TABLE rejected_cells ADD COLUMN IF NOT EXISTS address text;
