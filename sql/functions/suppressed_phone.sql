-- A telephone number as suppressions keep it: digits with a leading plus sign, however it was written down. null for
-- what holds no digit.
CREATE OR REPLACE FUNCTION suppressed_phone(p_phone text)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
AS $$
    SELECT CASE WHEN p_phone ~ '[0-9]'
        THEN regexp_replace(regexp_replace(p_phone, '[^0-9+]', '', 'g'), '^00', '+')
    END
$$;
