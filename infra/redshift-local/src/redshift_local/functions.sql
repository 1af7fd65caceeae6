-- Redshift's functions that PostgreSQL does not have or has in another meaning. The translator calls them by
-- the schema's name, so that none of PostgreSQL's is hidden. Installing twice changes nothing.

-- Time of the statement (GETDATE) and of the transaction (SYSDATE), in UTC and without a zone.
CREATE OR REPLACE FUNCTION redshift.getdate() RETURNS timestamp LANGUAGE sql STABLE
    RETURN date_trunc('second', statement_timestamp() AT TIME ZONE 'UTC');
CREATE OR REPLACE FUNCTION redshift.sysdate() RETURNS timestamp LANGUAGE sql STABLE
    RETURN transaction_timestamp() AT TIME ZONE 'UTC';

CREATE OR REPLACE FUNCTION redshift.version() RETURNS text LANGUAGE sql IMMUTABLE
    RETURN 'PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2 20041017 (Red Hat 3.4.2-6.fc3), Redshift 1.0.0 (redshift-local)';

-- What date functions take as a time stamp. A text is one too, which keeps literals from being ambiguous.
CREATE OR REPLACE FUNCTION redshift.as_timestamp(value timestamp) RETURNS timestamp LANGUAGE sql IMMUTABLE RETURN value;
CREATE OR REPLACE FUNCTION redshift.as_timestamp(value date) RETURNS timestamp LANGUAGE sql IMMUTABLE RETURN value::timestamp;
CREATE OR REPLACE FUNCTION redshift.as_timestamp(value timestamptz) RETURNS timestamp LANGUAGE sql IMMUTABLE
    RETURN value AT TIME ZONE 'UTC';
CREATE OR REPLACE FUNCTION redshift.as_timestamp(value time) RETURNS timestamp LANGUAGE sql IMMUTABLE
    RETURN '1970-01-01'::date + value;
CREATE OR REPLACE FUNCTION redshift.as_timestamp(value text) RETURNS timestamp LANGUAGE sql IMMUTABLE RETURN value::timestamp;

CREATE OR REPLACE FUNCTION redshift.span(part text, number bigint) RETURNS interval LANGUAGE sql IMMUTABLE
    RETURN CASE part WHEN 'quarter' THEN make_interval(months => (3 * number)::int)
                     WHEN 'milliseconds' THEN number * interval '1 millisecond'
                     WHEN 'microseconds' THEN number * interval '1 microsecond'
                     ELSE number * ('1 ' || part)::interval END;
CREATE OR REPLACE FUNCTION redshift.dateadd(part text, number bigint, value timestamp) RETURNS timestamp LANGUAGE sql IMMUTABLE
    RETURN value + redshift.span(part, number);
CREATE OR REPLACE FUNCTION redshift.dateadd(part text, number bigint, value date) RETURNS timestamp LANGUAGE sql IMMUTABLE
    RETURN value::timestamp + redshift.span(part, number);
CREATE OR REPLACE FUNCTION redshift.dateadd(part text, number bigint, value text) RETURNS timestamp LANGUAGE sql IMMUTABLE
    RETURN value::timestamp + redshift.span(part, number);
CREATE OR REPLACE FUNCTION redshift.dateadd(part text, number bigint, value time) RETURNS time LANGUAGE sql IMMUTABLE
    RETURN value + redshift.span(part, number);
CREATE OR REPLACE FUNCTION redshift.dateadd(part text, number bigint, value timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE
    RETURN (value AT TIME ZONE 'UTC' + redshift.span(part, number)) AT TIME ZONE 'UTC';

-- Boundaries between the two, not elapsed time: the number of the last one's part less that of the first's.
-- The first day of the year 1 is a Monday.
CREATE OR REPLACE FUNCTION redshift.ordinal(part text, value timestamp) RETURNS bigint LANGUAGE sql IMMUTABLE
    RETURN CASE part
        WHEN 'millennium' THEN floor((extract(year FROM value) - 1) / 1000)::bigint
        WHEN 'century' THEN floor((extract(year FROM value) - 1) / 100)::bigint
        WHEN 'decade' THEN floor(extract(year FROM value) / 10)::bigint
        WHEN 'year' THEN extract(year FROM value)::bigint
        WHEN 'quarter' THEN extract(year FROM value)::bigint * 4 + extract(quarter FROM value)::bigint
        WHEN 'month' THEN extract(year FROM value)::bigint * 12 + extract(month FROM value)::bigint
        WHEN 'week' THEN (value::date - '0001-01-01'::date) / 7
        WHEN 'day' THEN value::date - '0001-01-01'::date
        WHEN 'hour' THEN floor(extract(epoch FROM value) / 3600)::bigint
        WHEN 'minute' THEN floor(extract(epoch FROM value) / 60)::bigint
        WHEN 'second' THEN floor(extract(epoch FROM value))::bigint
        WHEN 'milliseconds' THEN floor(extract(epoch FROM value) * 1000)::bigint
        WHEN 'microseconds' THEN floor(extract(epoch FROM value) * 1000000)::bigint
    END;
CREATE OR REPLACE FUNCTION redshift.datediff(part text, first timestamp, last timestamp) RETURNS bigint LANGUAGE sql IMMUTABLE
    RETURN redshift.ordinal(part, last) - redshift.ordinal(part, first);

CREATE OR REPLACE FUNCTION redshift.date_trunc(part text, value timestamp) RETURNS timestamp LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.date_trunc(part, value);
CREATE OR REPLACE FUNCTION redshift.date_trunc(part text, value date) RETURNS timestamp LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.date_trunc(part, value::timestamp);
CREATE OR REPLACE FUNCTION redshift.date_trunc(part text, value text) RETURNS timestamp LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.date_trunc(part, value::timestamp);
CREATE OR REPLACE FUNCTION redshift.date_trunc(part text, value timestamptz) RETURNS timestamptz LANGUAGE sql STABLE
    RETURN pg_catalog.date_trunc(part, value);

-- DATE_PART keeps fractions of a second; EXTRACT is a whole number, but of a time stamp with a zone.
CREATE OR REPLACE FUNCTION redshift.date_part(part text, value timestamp) RETURNS double precision LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.date_part(part, value);
CREATE OR REPLACE FUNCTION redshift.date_part(part text, value date) RETURNS double precision LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.date_part(part, value::timestamp);
CREATE OR REPLACE FUNCTION redshift.date_part(part text, value text) RETURNS double precision LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.date_part(part, value::timestamp);
CREATE OR REPLACE FUNCTION redshift.date_part(part text, value timestamptz) RETURNS double precision LANGUAGE sql STABLE
    RETURN pg_catalog.date_part(part, value);
CREATE OR REPLACE FUNCTION redshift.date_part(part text, value time) RETURNS double precision LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.date_part(part, value);
CREATE OR REPLACE FUNCTION redshift.date_part(part text, value interval) RETURNS double precision LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.date_part(part, value);
-- Of the part alone: its seconds have no fraction, its milliseconds no seconds.
CREATE OR REPLACE FUNCTION redshift.whole_part(part text, number double precision) RETURNS integer LANGUAGE sql IMMUTABLE
    RETURN CASE part WHEN 'milliseconds' THEN floor(number)::bigint % 1000
                     WHEN 'microseconds' THEN floor(number)::bigint % 1000000
                     ELSE floor(number) END::integer;
CREATE OR REPLACE FUNCTION redshift.extract(part text, value timestamp) RETURNS integer LANGUAGE sql IMMUTABLE
    RETURN redshift.whole_part(part, pg_catalog.date_part(part, value));
CREATE OR REPLACE FUNCTION redshift.extract(part text, value date) RETURNS integer LANGUAGE sql IMMUTABLE
    RETURN redshift.whole_part(part, pg_catalog.date_part(part, value::timestamp));
CREATE OR REPLACE FUNCTION redshift.extract(part text, value text) RETURNS integer LANGUAGE sql IMMUTABLE
    RETURN redshift.whole_part(part, pg_catalog.date_part(part, value::timestamp));
CREATE OR REPLACE FUNCTION redshift.extract(part text, value time) RETURNS integer LANGUAGE sql IMMUTABLE
    RETURN redshift.whole_part(part, pg_catalog.date_part(part, value));
CREATE OR REPLACE FUNCTION redshift.extract(part text, value interval) RETURNS integer LANGUAGE sql IMMUTABLE
    RETURN redshift.whole_part(part, pg_catalog.date_part(part, value));
CREATE OR REPLACE FUNCTION redshift.extract(part text, value timestamptz) RETURNS double precision LANGUAGE sql STABLE
    RETURN pg_catalog.date_part(part, value);
CREATE OR REPLACE FUNCTION redshift.date_part_year(value date) RETURNS integer LANGUAGE sql IMMUTABLE
    RETURN extract(year FROM value)::integer;

CREATE OR REPLACE FUNCTION redshift.convert_timezone(source text, target text, value timestamp) RETURNS timestamp LANGUAGE sql IMMUTABLE
    RETURN value AT TIME ZONE source AT TIME ZONE target;

CREATE OR REPLACE FUNCTION redshift.last_day(value timestamp) RETURNS date LANGUAGE sql IMMUTABLE
    RETURN (pg_catalog.date_trunc('month', value) + interval '1 month - 1 day')::date;
-- The last day of a month stays the last day, as DATEADD's does not.
CREATE OR REPLACE FUNCTION redshift.add_months(value timestamp, months bigint) RETURNS timestamp LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN value::date = redshift.last_day(value)
                THEN redshift.last_day(value + make_interval(months => months::int)) + value::time
                ELSE value + make_interval(months => months::int) END;
CREATE OR REPLACE FUNCTION redshift.months_between(first timestamp, last timestamp) RETURNS double precision LANGUAGE sql IMMUTABLE
    RETURN (extract(year FROM first) - extract(year FROM last)) * 12 + extract(month FROM first) - extract(month FROM last)
        + CASE WHEN extract(day FROM first) = extract(day FROM last)
                 OR (first::date = redshift.last_day(first) AND last::date = redshift.last_day(last))
               THEN 0 ELSE (extract(day FROM first) - extract(day FROM last)) / 31.0 END;
CREATE OR REPLACE FUNCTION redshift.next_day(value date, day text) RETURNS date LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    wanted integer := CASE lower(day)
        WHEN 'su' THEN 0 WHEN 'sun' THEN 0 WHEN 'sunday' THEN 0
        WHEN 'm' THEN 1 WHEN 'mo' THEN 1 WHEN 'mon' THEN 1 WHEN 'monday' THEN 1
        WHEN 'tu' THEN 2 WHEN 'tues' THEN 2 WHEN 'tue' THEN 2 WHEN 'tuesday' THEN 2
        WHEN 'w' THEN 3 WHEN 'we' THEN 3 WHEN 'wed' THEN 3 WHEN 'wednesday' THEN 3
        WHEN 'th' THEN 4 WHEN 'thu' THEN 4 WHEN 'thurs' THEN 4 WHEN 'thursday' THEN 4
        WHEN 'f' THEN 5 WHEN 'fr' THEN 5 WHEN 'fri' THEN 5 WHEN 'friday' THEN 5
        WHEN 'sa' THEN 6 WHEN 'sat' THEN 6 WHEN 'saturday' THEN 6 END;
BEGIN
    IF wanted IS NULL THEN
        RAISE EXCEPTION 'Invalid day of the week: %', day USING ERRCODE = '22023';
    END IF;
    RETURN value + (wanted - extract(dow FROM value)::integer + 6) % 7 + 1;
END $$;

CREATE OR REPLACE FUNCTION redshift.trunc(value timestamp) RETURNS date LANGUAGE sql IMMUTABLE RETURN value::date;
CREATE OR REPLACE FUNCTION redshift.trunc(value numeric) RETURNS numeric LANGUAGE sql IMMUTABLE RETURN pg_catalog.trunc(value);
CREATE OR REPLACE FUNCTION redshift.trunc(value numeric, digits integer) RETURNS numeric LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.trunc(value, digits);
CREATE OR REPLACE FUNCTION redshift.trunc(value double precision) RETURNS double precision LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.trunc(value);
CREATE OR REPLACE FUNCTION redshift.trunc(value double precision, digits integer) RETURNS double precision LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.trunc(value::numeric, digits)::double precision;
CREATE OR REPLACE FUNCTION redshift.round(value numeric) RETURNS numeric LANGUAGE sql IMMUTABLE RETURN pg_catalog.round(value);
CREATE OR REPLACE FUNCTION redshift.round(value numeric, digits integer) RETURNS numeric LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.round(value, digits);
CREATE OR REPLACE FUNCTION redshift.round(value double precision) RETURNS double precision LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.round(value::numeric)::double precision;
CREATE OR REPLACE FUNCTION redshift.round(value double precision, digits integer) RETURNS double precision LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.round(value::numeric, digits)::double precision;

-- TO_DATE and TO_TIMESTAMP take a day that the month does not have and the hour 24, unless they are strict: the
-- first of the month, and from there on. Other overflows are no results that the documentation has.
CREATE OR REPLACE FUNCTION redshift.overflowing(value text, format text, name text) RETURNS timestamp LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    shape text := replace(pg_catalog.upper(format), 'HH24', 'HH');
    part text;
    digits text;
    fields jsonb := '{"HH": 0, "MI": 0, "SS": 0}';
BEGIN
    IF pg_catalog.upper(format) ~ '^(YYYY|MM|DD|HH24|MI|SS|[^A-Z0-9"])*$' AND char_length(shape) = char_length(value) THEN
        FOREACH part IN ARRAY ARRAY['YYYY', 'MM', 'DD', 'HH', 'MI', 'SS'] LOOP
            digits := substr(value, strpos(shape, part), char_length(part));
            IF strpos(shape, part) > 0 AND digits ~ '^[0-9]+$' THEN
                fields := fields || jsonb_build_object(part, digits::integer);
            END IF;
        END LOOP;
        IF (fields->'YYYY')::int > 0 AND (fields->'MM')::int BETWEEN 1 AND 12 AND (fields->'DD')::int BETWEEN 1 AND 31
           AND (fields->'HH')::int <= 24 AND (fields->'MI')::int < 60 AND (fields->'SS')::int < 60 THEN
            RETURN make_timestamp((fields->'YYYY')::int, (fields->'MM')::int, 1, 0, 0, 0)
                + make_interval(days => (fields->'DD')::int - 1, hours => (fields->'HH')::int,
                                mins => (fields->'MI')::int, secs => (fields->'SS')::int);
        END IF;
    END IF;
    RAISE EXCEPTION 'redshift-local does not imitate % of "%" as "%"', name, value, format USING ERRCODE = '0A000';
END $$;
CREATE OR REPLACE FUNCTION redshift.refuse_format(format text, name text) RETURNS void LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    IF format ~* '(tz|of|q)' THEN
        RAISE EXCEPTION '% does not support the format "%"', name, format USING ERRCODE = '0A000';
    END IF;
END $$;
CREATE OR REPLACE FUNCTION redshift.to_date(value text, format text, is_strict boolean DEFAULT false) RETURNS date LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
    PERFORM redshift.refuse_format(format, 'TO_DATE');
    IF btrim(value) = '' THEN
        RAISE EXCEPTION 'redshift-local does not imitate TO_DATE of an empty text' USING ERRCODE = '0A000';
    END IF;
    RETURN pg_catalog.to_date(value, format);
EXCEPTION WHEN datetime_field_overflow THEN
    IF is_strict THEN
        RAISE;
    END IF;
    RETURN redshift.overflowing(value, format, 'TO_DATE')::date;
END $$;
CREATE OR REPLACE FUNCTION redshift.to_timestamp(value text, format text, is_strict boolean DEFAULT false) RETURNS timestamptz LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
    PERFORM redshift.refuse_format(format, 'TO_TIMESTAMP');
    IF value = '' THEN
        RETURN '0001-01-01 00:00:00'::timestamp::timestamptz;
    END IF;
    RETURN pg_catalog.to_timestamp(value, format);
EXCEPTION WHEN datetime_field_overflow THEN
    IF is_strict THEN
        RAISE;
    END IF;
    RETURN redshift.overflowing(value, format, 'TO_TIMESTAMP')::timestamptz;
END $$;

-- Text. Where PostgreSQL counts from the end, Redshift refuses or does not say.
CREATE OR REPLACE FUNCTION redshift.split_part(value text, delimiter text, part integer) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    IF part < 1 THEN
        RAISE EXCEPTION 'field position must be greater than zero' USING ERRCODE = '22023';
    END IF;
    RETURN pg_catalog.split_part(value, delimiter, part);
END $$;
CREATE OR REPLACE FUNCTION redshift.not_from_the_end(number integer, name text) RETURNS integer LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    IF number < 0 THEN
        RAISE EXCEPTION 'redshift-local does not imitate % of % characters', name, number USING ERRCODE = '0A000';
    END IF;
    RETURN number;
END $$;
CREATE OR REPLACE FUNCTION redshift.left(value text, number integer) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.left(value, redshift.not_from_the_end(number, 'LEFT'));
CREATE OR REPLACE FUNCTION redshift.right(value text, number integer) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.right(value, redshift.not_from_the_end(number, 'RIGHT'));

-- CONCAT of NULL is NULL, which it is not in PostgreSQL.
CREATE OR REPLACE FUNCTION redshift.len(value text) RETURNS integer LANGUAGE sql IMMUTABLE RETURN pg_catalog.length(value);
CREATE OR REPLACE FUNCTION redshift.len(value character) RETURNS integer LANGUAGE sql IMMUTABLE RETURN pg_catalog.length(value);
CREATE OR REPLACE FUNCTION redshift.len(value bytea) RETURNS integer LANGUAGE sql IMMUTABLE RETURN pg_catalog.length(value);
CREATE OR REPLACE FUNCTION redshift.concat(first text, last text) RETURNS text LANGUAGE sql IMMUTABLE RETURN first || last;
CREATE OR REPLACE FUNCTION redshift.left_bytes(value text, bytes integer) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    whole bytea := convert_to(value, 'UTF8');
    cut integer := bytes;
BEGIN
    IF octet_length(whole) <= bytes THEN
        RETURN value;
    END IF;
    -- No character is cut in two: what begins with the bits 10 belongs to the one before.
    WHILE cut > 0 AND get_byte(whole, cut) & 192 = 128 LOOP
        cut := cut - 1;
    END LOOP;
    RETURN convert_from(substr(whole, 1, cut), 'UTF8');
END $$;
-- What a CHAR takes: characters of one byte.
CREATE OR REPLACE FUNCTION redshift.single_bytes(value text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    other text := substring(value FROM '[^\x01-\x7f]');
BEGIN
    IF other IS NOT NULL THEN
        RAISE EXCEPTION 'Only ASCII characters are allowed in fixed length strings. Invalid ASCII char: %',
            encode(convert_to(other, 'UTF8'), 'hex') USING ERRCODE = '22021';
    END IF;
    RETURN value;
END $$;
CREATE OR REPLACE FUNCTION redshift.fits(value text, bytes integer, type text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF octet_length(value) > bytes THEN
        RAISE EXCEPTION 'value too long for type %', type USING ERRCODE = '22001';
    END IF;
    IF starts_with(type, 'character(') THEN
        PERFORM redshift.single_bytes(value);
    END IF;
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION redshift.strtol(number text, base integer) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    digits text := pg_catalog.lower(btrim(number));
    sum numeric := 0;
    digit integer;
    sign integer := 1;
BEGIN
    IF base < 2 OR base > 36 THEN
        RAISE EXCEPTION 'The base % of STRTOL is not 2 to 36', base USING ERRCODE = '22023';
    END IF;
    IF digits ~ '^[-+]' THEN
        sign := CASE pg_catalog.left(digits, 1) WHEN '-' THEN -1 ELSE 1 END;
        digits := substr(digits, 2);
    END IF;
    IF base = 16 AND digits LIKE '0x_%' THEN
        digits := substr(digits, 3);
    END IF;
    IF digits = '' THEN
        RAISE EXCEPTION 'The input % is not valid to be converted to base %', number, base USING ERRCODE = '22023';
    END IF;
    FOR position IN 1 .. pg_catalog.length(digits) LOOP
        digit := strpos('0123456789abcdefghijklmnopqrstuvwxyz', substr(digits, position, 1)) - 1;
        IF digit < 0 OR digit >= base THEN
            RAISE EXCEPTION 'The input % is not valid to be converted to base %', number, base USING ERRCODE = '22023';
        END IF;
        sum := sum * base + digit;
    END LOOP;
    RETURN (sign * sum)::bigint;
END $$;

-- FNV-1a of 64 bits over the value's bytes, the lowest first; the seed is the hash before.
CREATE OR REPLACE FUNCTION redshift.fnv(bytes bytea, seed bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    hash bigint := seed;
    product numeric;
BEGIN
    FOR position IN 0 .. octet_length(bytes) - 1 LOOP
        hash := hash # get_byte(bytes, position)::bigint;
        product := mod(hash::numeric * 1099511628211, 18446744073709551616);
        IF product >= 9223372036854775808 THEN
            product := product - 18446744073709551616;
        ELSIF product < -9223372036854775808 THEN
            product := product + 18446744073709551616;
        END IF;
        hash := product::bigint;
    END LOOP;
    RETURN hash;
END $$;
CREATE OR REPLACE FUNCTION redshift.fnv_hash(value text, seed bigint DEFAULT -3750763034362895579) RETURNS bigint LANGUAGE sql IMMUTABLE
    RETURN redshift.fnv(convert_to(value, 'UTF8'), seed);
CREATE OR REPLACE FUNCTION redshift.fnv_hash(value smallint, seed bigint DEFAULT -3750763034362895579) RETURNS bigint LANGUAGE sql IMMUTABLE
    RETURN redshift.fnv(reverse(int2send(value)), seed);
CREATE OR REPLACE FUNCTION redshift.fnv_hash(value integer, seed bigint DEFAULT -3750763034362895579) RETURNS bigint LANGUAGE sql IMMUTABLE
    RETURN redshift.fnv(reverse(int4send(value)), seed);
CREATE OR REPLACE FUNCTION redshift.fnv_hash(value bigint, seed bigint DEFAULT -3750763034362895579) RETURNS bigint LANGUAGE sql IMMUTABLE
    RETURN redshift.fnv(reverse(int8send(value)), seed);

CREATE OR REPLACE FUNCTION redshift.sha2(value text, bits integer) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN encode(CASE bits WHEN 0 THEN sha256(convert_to(value, 'UTF8')) WHEN 224 THEN sha224(convert_to(value, 'UTF8'))
                            WHEN 256 THEN sha256(convert_to(value, 'UTF8')) WHEN 384 THEN sha384(convert_to(value, 'UTF8'))
                            WHEN 512 THEN sha512(convert_to(value, 'UTF8')) END, 'hex');

-- All matches from a position on; the parameter `i` ignores case, `p` is a dialect that PostgreSQL's includes mostly.
CREATE OR REPLACE FUNCTION redshift.regexp_flags(parameters text) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN parameters LIKE '%i%' THEN 'i' ELSE 'c' END;
CREATE OR REPLACE FUNCTION redshift.regexp_replace(source text, pattern text, replacement text DEFAULT '', start integer DEFAULT 1, parameters text DEFAULT 'c') RETURNS text LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.regexp_replace(source, pattern,
        pg_catalog.regexp_replace(pg_catalog.replace(replacement, '\', '\\'), '\$(\d)', '\\\1', 'g'),
        start, 0, redshift.regexp_flags(parameters));
CREATE OR REPLACE FUNCTION redshift.regexp_count(source text, pattern text, start integer DEFAULT 1, parameters text DEFAULT 'c') RETURNS integer LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.regexp_count(source, pattern, start, redshift.regexp_flags(parameters));
CREATE OR REPLACE FUNCTION redshift.regexp_instr(source text, pattern text, start integer DEFAULT 1, occurrence integer DEFAULT 1, end_of_match integer DEFAULT 0, parameters text DEFAULT 'c') RETURNS integer LANGUAGE sql IMMUTABLE
    RETURN pg_catalog.regexp_instr(source, pattern, start, occurrence, end_of_match, redshift.regexp_flags(parameters));
CREATE OR REPLACE FUNCTION redshift.regexp_substr(source text, pattern text, start integer DEFAULT 1, occurrence integer DEFAULT 1, parameters text DEFAULT 'c') RETURNS text LANGUAGE sql IMMUTABLE
    RETURN coalesce(pg_catalog.regexp_substr(source, pattern, start, occurrence, redshift.regexp_flags(parameters),
        CASE WHEN parameters LIKE '%e%' THEN 1 ELSE 0 END),
        CASE WHEN source IS NOT NULL AND pattern IS NOT NULL THEN '' END);

-- JSON as text, and SUPER, which is jsonb here.
CREATE OR REPLACE FUNCTION redshift.try_json(value text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN value::jsonb;
EXCEPTION WHEN invalid_text_representation OR untranslatable_character THEN
    RETURN NULL;
END $$;
-- Without the blanks that PostgreSQL writes after each colon and comma.
CREATE OR REPLACE FUNCTION redshift.compact_json(value jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    RETURN CASE jsonb_typeof(value)
        WHEN 'object' THEN '{' || coalesce((SELECT string_agg(to_json(key)::text || ':' || redshift.compact_json(part), ',') FROM jsonb_each(value) AS each(key, part)), '') || '}'
        WHEN 'array' THEN '[' || coalesce((SELECT string_agg(redshift.compact_json(part), ',') FROM jsonb_array_elements(value) AS part), '') || ']'
        ELSE value::text END;
END $$;
CREATE OR REPLACE FUNCTION redshift.is_valid_json(value text) RETURNS boolean LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN value IS NOT NULL THEN coalesce(jsonb_typeof(redshift.try_json(value)) = 'object', false) END;
CREATE OR REPLACE FUNCTION redshift.is_valid_json_array(value text) RETURNS boolean LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN value IS NOT NULL THEN coalesce(jsonb_typeof(redshift.try_json(value)) = 'array', false) END;
CREATE OR REPLACE FUNCTION redshift.can_json_parse(value text) RETURNS boolean LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN value IS NOT NULL THEN redshift.try_json(value) IS NOT NULL END;
CREATE OR REPLACE FUNCTION redshift.json_parse(value text) RETURNS jsonb LANGUAGE sql IMMUTABLE RETURN value::jsonb;
CREATE OR REPLACE FUNCTION redshift.json_serialize(value jsonb) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN redshift.compact_json(value);
CREATE OR REPLACE FUNCTION redshift.json_extract_path_text(value text, VARIADIC path text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    parsed jsonb := redshift.try_json(value);
BEGIN
    IF parsed IS NULL THEN
        RAISE EXCEPTION 'JSON parsing error: invalid json object %', value USING ERRCODE = '22P02';
    END IF;
    -- A number is a name of an object here and no place in an array; what is not found is the empty text.
    FOREACH value IN ARRAY path LOOP
        IF jsonb_typeof(parsed) <> 'object' THEN
            RETURN '';
        END IF;
        parsed := parsed -> value;
    END LOOP;
    RETURN CASE WHEN parsed IS NULL OR parsed = 'null' THEN ''
                WHEN jsonb_typeof(parsed) IN ('object', 'array') THEN redshift.compact_json(parsed)
                ELSE parsed #>> '{}' END;
END $$;
CREATE OR REPLACE FUNCTION redshift.json_extract_path_text_or_null(value text, VARIADIC path text[]) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN redshift.try_json(value) IS NOT NULL THEN redshift.json_extract_path_text(value, VARIADIC path) END;
CREATE OR REPLACE FUNCTION redshift.json_array(value text, null_if_invalid boolean) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    parsed jsonb := redshift.try_json(value);
BEGIN
    IF jsonb_typeof(parsed) = 'array' THEN
        RETURN parsed;
    ELSIF null_if_invalid THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'JSON parsing error: invalid json array object %', value USING ERRCODE = '22P02';
END $$;
CREATE OR REPLACE FUNCTION redshift.json_array_length(value text, null_if_invalid boolean DEFAULT false) RETURNS integer LANGUAGE sql IMMUTABLE
    RETURN jsonb_array_length(redshift.json_array(value, null_if_invalid));
CREATE OR REPLACE FUNCTION redshift.json_extract_array_element_text(value text, place integer, null_if_invalid boolean DEFAULT false) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN place < 0 THEN NULL
                WHEN jsonb_typeof(redshift.json_array(value, null_if_invalid) -> place) IN ('object', 'array')
                THEN redshift.compact_json(redshift.json_array(value, null_if_invalid) -> place)
                ELSE redshift.json_array(value, null_if_invalid) ->> place END;

-- Aggregates. An average of whole numbers is a whole number, cut.
CREATE OR REPLACE FUNCTION redshift.mean_of_sum(state numeric[]) RETURNS bigint LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN state[1] > 0 THEN pg_catalog.div(state[2], state[1])::bigint END;
CREATE OR REPLACE FUNCTION redshift.add_to_sum(state numeric[], value bigint) RETURNS numeric[] LANGUAGE sql IMMUTABLE STRICT
    RETURN ARRAY[state[1] + 1, state[2] + value];
CREATE OR REPLACE AGGREGATE redshift.avg(bigint) (SFUNC = redshift.add_to_sum, STYPE = numeric[], FINALFUNC = redshift.mean_of_sum, INITCOND = '{0,0}');
CREATE OR REPLACE AGGREGATE redshift.avg(numeric) (SFUNC = numeric_avg_accum, STYPE = internal, FINALFUNC = numeric_avg);
CREATE OR REPLACE AGGREGATE redshift.avg(double precision) (SFUNC = float8_accum, STYPE = double precision[], FINALFUNC = float8_avg, INITCOND = '{0,0,0}');
CREATE OR REPLACE FUNCTION redshift.add_to_sum(state numeric[], value integer) RETURNS numeric[] LANGUAGE sql IMMUTABLE STRICT
    RETURN ARRAY[state[1] + 1, state[2] + value];
CREATE OR REPLACE FUNCTION redshift.add_to_sum(state numeric[], value smallint) RETURNS numeric[] LANGUAGE sql IMMUTABLE STRICT
    RETURN ARRAY[state[1] + 1, state[2] + value];
CREATE OR REPLACE AGGREGATE redshift.avg(integer) (SFUNC = redshift.add_to_sum, STYPE = numeric[], FINALFUNC = redshift.mean_of_sum, INITCOND = '{0,0}');
CREATE OR REPLACE AGGREGATE redshift.avg(smallint) (SFUNC = redshift.add_to_sum, STYPE = numeric[], FINALFUNC = redshift.mean_of_sum, INITCOND = '{0,0}');

CREATE OR REPLACE FUNCTION redshift.middle(state numeric[]) RETURNS numeric LANGUAGE sql IMMUTABLE
    RETURN (SELECT pg_catalog.avg(value) FROM (
                SELECT value, pg_catalog.row_number() OVER (ORDER BY value) AS place, pg_catalog.count(*) OVER () AS number
                FROM unnest(state) AS value WHERE value IS NOT NULL) AS ordered
            WHERE place IN ((number + 1) / 2, number / 2 + 1));
CREATE OR REPLACE FUNCTION redshift.middle(state double precision[]) RETURNS double precision LANGUAGE sql IMMUTABLE
    RETURN (SELECT pg_catalog.avg(value) FROM (
                SELECT value, pg_catalog.row_number() OVER (ORDER BY value) AS place, pg_catalog.count(*) OVER () AS number
                FROM unnest(state) AS value WHERE value IS NOT NULL) AS ordered
            WHERE place IN ((number + 1) / 2, number / 2 + 1));
CREATE OR REPLACE FUNCTION redshift.middle(state bigint[]) RETURNS numeric LANGUAGE sql IMMUTABLE RETURN redshift.middle(state::numeric[]);
CREATE OR REPLACE FUNCTION redshift.middle(state integer[]) RETURNS numeric LANGUAGE sql IMMUTABLE RETURN redshift.middle(state::numeric[]);
CREATE OR REPLACE FUNCTION redshift.middle(state smallint[]) RETURNS numeric LANGUAGE sql IMMUTABLE RETURN redshift.middle(state::numeric[]);
-- array_append, called by an aggregate itself, does not copy what it has.
CREATE OR REPLACE AGGREGATE redshift.median(numeric) (SFUNC = array_append, STYPE = numeric[], FINALFUNC = redshift.middle, INITCOND = '{}');
CREATE OR REPLACE AGGREGATE redshift.median(bigint) (SFUNC = array_append, STYPE = bigint[], FINALFUNC = redshift.middle, INITCOND = '{}');
CREATE OR REPLACE AGGREGATE redshift.median(integer) (SFUNC = array_append, STYPE = integer[], FINALFUNC = redshift.middle, INITCOND = '{}');
CREATE OR REPLACE AGGREGATE redshift.median(smallint) (SFUNC = array_append, STYPE = smallint[], FINALFUNC = redshift.middle, INITCOND = '{}');
CREATE OR REPLACE AGGREGATE redshift.median(double precision) (SFUNC = array_append, STYPE = double precision[], FINALFUNC = redshift.middle, INITCOND = '{}');

CREATE OR REPLACE FUNCTION redshift.append(state text, value text, separator text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF value IS NULL THEN
        RETURN state;
    END IF;
    state := CASE WHEN state IS NULL THEN value ELSE state || coalesce(separator, '') || value END;
    IF octet_length(state) > 65535 THEN
        RAISE EXCEPTION 'Result size exceeds LISTAGG limit' USING ERRCODE = '54000', DETAIL = 'LISTAGG limit: 65535 bytes';
    END IF;
    RETURN state;
END $$;
CREATE OR REPLACE FUNCTION redshift.append(state text, value anyelement, separator text) RETURNS text LANGUAGE sql IMMUTABLE
    AS 'SELECT redshift.append(state, value::text, separator)';
CREATE OR REPLACE AGGREGATE redshift.listagg(text, text) (SFUNC = redshift.append, STYPE = text);
CREATE OR REPLACE AGGREGATE redshift.listagg(anyelement, text) (SFUNC = redshift.append, STYPE = text);
