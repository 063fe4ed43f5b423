-- migrate: statement by statement
-- Addresses are compared in their canonical form. Applications write contacts and suppressions by plain SQL, in any
-- spelling; so the form is computed by functions, and the indexes hold it.

-- Return an email address that has characters beyond printable ASCII in canonical form: without invisible characters,
-- NFKC, lower case, the labels of the domain as Punycode (RFC 3492), as IDNA 2008 with UTS 46 non-transitional encodes
-- them. The same as canonical_email of drip_pipeline/domain/addresses.py. In one function, because an index must not
-- depend on the search path.
CREATE OR REPLACE FUNCTION canonical_unicode_email(p_email text)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
STRICT
PARALLEL SAFE
AS $$
DECLARE
    address text := rtrim(btrim(lower(replace(normalize(regexp_replace(
        p_email,
        '[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0]',
        '', 'g'
    ), NFKC), U&'\3002', '.')), E' \t\n\r\f\v'), '.');
    at_sign integer := length(address) - position('@' IN reverse(address)) + 1;
    label text;
    encoded text [] := '{}';
    codes integer [];
    output text;
    n integer;
    delta integer;
    bias integer;
    basic integer;
    handled integer;
    smallest integer;
    code integer;
    q integer;
    k integer;
    threshold integer;
BEGIN
    IF at_sign > length(address) OR substr(address, at_sign + 1) ~ '^[\x01-\x7f]*$' THEN
        RETURN address;
    END IF;
    FOREACH label IN ARRAY string_to_array(substr(address, at_sign + 1), '.') LOOP
        IF label ~ '^[\x01-\x7f]*$' THEN
            encoded := encoded || label;
            CONTINUE;
        END IF;
        codes := ARRAY(SELECT ascii(c) FROM regexp_split_to_table(label, '') WITH ORDINALITY AS s (c, i) ORDER BY s.i);
        output := regexp_replace(label, '[^\x01-\x7f]', '', 'g');
        basic := length(output);
        handled := basic;
        IF basic > 0 THEN
            output := output || '-';
        END IF;
        n := 128;
        delta := 0;
        bias := 72;
        WHILE handled < cardinality(codes) LOOP
            SELECT min(c) INTO smallest FROM unnest(codes) AS c WHERE c >= n;
            delta := delta + (smallest - n) * (handled + 1);
            n := smallest;
            FOREACH code IN ARRAY codes LOOP
                IF code < n THEN
                    delta := delta + 1;
                ELSIF code = n THEN
                    q := delta;
                    k := 36;
                    LOOP
                        threshold := least(greatest(k - bias, 1), 26);
                        EXIT WHEN q < threshold;
                        output := output
                            || substr('abcdefghijklmnopqrstuvwxyz0123456789', threshold + (q - threshold) % (36 - threshold) + 1, 1);
                        q := (q - threshold) / (36 - threshold);
                        k := k + 36;
                    END LOOP;
                    output := output || substr('abcdefghijklmnopqrstuvwxyz0123456789', q + 1, 1);
                    delta := CASE WHEN handled = basic THEN delta / 700 ELSE delta / 2 END;
                    delta := delta + delta / (handled + 1);
                    k := 0;
                    WHILE delta > 455 LOOP
                        delta := delta / 35;
                        k := k + 36;
                    END LOOP;
                    bias := k + 36 * delta / (delta + 38);
                    delta := 0;
                    handled := handled + 1;
                END IF;
            END LOOP;
            delta := delta + 1;
            n := n + 1;
        END LOOP;
        encoded := encoded || ('xn--' || output);
    END LOOP;
    RETURN substr(address, 1, at_sign) || array_to_string(encoded, '.');
END
$$;

-- Return an email address in the form in which addresses are compared. The common case, printable ASCII, is a part of
-- the query that calls it.
CREATE OR REPLACE FUNCTION canonical_email(p_email text)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN CASE WHEN p_email ~ '^[!-~]*$' THEN rtrim(lower(p_email), '.') ELSE canonical_unicode_email(p_email) END;

-- Return a telephone number as it is compared if it is not in E.164 form: digits with a leading plus sign, of the first
-- number if there are several, without an extension, and without the zero that is dialed inside a country, as in
-- +49 (0)151. Null if it has no digit. National numbers keep their zero: their country is unknown here.
CREATE OR REPLACE FUNCTION canonical_written_phone(p_phone text)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
STRICT
PARALLEL SAFE
AS $$
DECLARE
    phone text := p_phone;
BEGIN
    IF phone !~ '^[\x01-\x7f]*$' THEN
        phone := normalize(phone, NFKC);
    END IF;
    phone := regexp_replace(phone, '([0-9][^0-9;,a-zA-Z|]*)[;,a-zA-Z|].*$', '\1');
    phone := regexp_replace(regexp_replace(phone, '[^0-9+]', '', 'g'), '^00', '+');
    -- Two numbers that are separated by a slash.
    phone := regexp_replace(phone, '([0-9])\+.*$', '\1');
    IF phone !~ '[0-9]' THEN
        RETURN NULL;
    END IF;
    -- Country codes have one, two or three digits.
    RETURN regexp_replace(
        phone,
        '^(\+(?:[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]'
        || '|(?:2[1-689]|3[578]|42|5[09]|6[7-9]|8[03578]|9[679])[0-9]))0+',
        '\1'
    );
END
$$;

-- Return a telephone number in the form in which numbers are compared. A zero among the first digits may be one that is
-- dialed inside a country only.
CREATE OR REPLACE FUNCTION canonical_phone(p_phone text)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN CASE
    WHEN p_phone ~ '^\+[1-9]{4}[0-9]{3,11}$' THEN p_phone
    ELSE canonical_written_phone(p_phone)
END;

-- Return an address of a suppression in the form in which addresses are compared.
CREATE OR REPLACE FUNCTION canonical_address(p_address text)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
RETURN CASE
    WHEN position('@' IN p_address) > 0 THEN canonical_email(p_address)
    ELSE coalesce(canonical_phone(p_address), lower(p_address))
END;

-- Serves finding a contact by address, however it is spelled: imports, enrolling from a list, events by address.
CREATE INDEX CONCURRENTLY IF NOT EXISTS contacts_canonical_address
    ON contacts (canonical_email(email), workspace_id);
DROP INDEX CONCURRENTLY IF EXISTS contacts_address;
-- squawk-ignore renaming-object
ALTER INDEX IF EXISTS contacts_canonical_address RENAME TO contacts_address;
-- Serves finding the contacts of a telephone number: inbound SMS, suppression lists.
CREATE INDEX CONCURRENTLY IF NOT EXISTS contacts_canonical_phone
    ON contacts (canonical_phone(phone)) WHERE phone IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS contacts_phone;
-- squawk-ignore renaming-object
ALTER INDEX IF EXISTS contacts_canonical_phone RENAME TO contacts_phone;
-- Of the statements before the migration 0002 (sql/online/).
DROP INDEX CONCURRENTLY IF EXISTS campaign_enrollments_without_workspace;

-- Of entries that are the same in canonical form the one that a person asked for stays, otherwise the earliest.
DELETE FROM campaign_suppressions s
USING (
    SELECT
        x.id,
        row_number() OVER (
            PARTITION BY x.workspace_id, canonical_address(x.address), x.channel, x.campaign_id
            ORDER BY array_position(ARRAY['unsubscribed', 'complained', 'manual'], x.reason), x.created_at, x.id
        ) AS position
    FROM campaign_suppressions x
) repeated
WHERE repeated.id = s.id AND repeated.position > 1;

CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS campaign_suppressions_canonical_key ON campaign_suppressions (
    workspace_id, canonical_address(address), coalesce(channel, ''),
    coalesce(campaign_id, '00000000-0000-0000-0000-000000000000'::uuid)
);
DROP INDEX CONCURRENTLY IF EXISTS campaign_suppressions_key;
-- squawk-ignore renaming-object
ALTER INDEX IF EXISTS campaign_suppressions_canonical_key RENAME TO campaign_suppressions_key;

-- canonical_phone replaces it.
-- squawk-ignore ban-drop-function
DROP FUNCTION IF EXISTS suppressed_phone(text);

-- What an imported list says about an entry, where it is more than one of the reasons.
ALTER TABLE campaign_suppressions ADD COLUMN IF NOT EXISTS note text;

-- The country of phone numbers without a country code, ISO 3166; null: such numbers are refused.
ALTER TABLE workspaces ADD COLUMN IF NOT EXISTS default_region text;
-- squawk-ignore ban-drop-constraint
ALTER TABLE workspaces DROP CONSTRAINT IF EXISTS workspaces_default_region_check;
ALTER TABLE workspaces
    ADD CONSTRAINT workspaces_default_region_check CHECK (default_region ~ '^[A-Z]{2}$') NOT VALID;
ALTER TABLE workspaces VALIDATE CONSTRAINT workspaces_default_region_check;
