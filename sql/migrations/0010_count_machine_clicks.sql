-- Messages with a click that looks like a scanner's; apart from `clicked`, as machine opens are from `opened`.
ALTER TABLE campaign_daily_metrics ADD COLUMN IF NOT EXISTS machine_clicked bigint NOT NULL DEFAULT 0;
