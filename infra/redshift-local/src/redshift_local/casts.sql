-- Casts of texts, which PostgreSQL reads by each type's own function: what only that function reads is refused. Each
-- is a cast of the whole database, so that it stands wherever it is written. Installing twice changes nothing.
CREATE SCHEMA IF NOT EXISTS redshift;
GRANT USAGE ON SCHEMA redshift TO PUBLIC;
CREATE OR REPLACE FUNCTION redshift.reads(value text, type text, of_a_file boolean DEFAULT false) RETURNS boolean LANGUAGE sql IMMUTABLE
    RETURN CASE
        WHEN type IN ('smallint', 'integer', 'bigint') THEN value ~ '^\s*[-+]?\d+\s*$'
        WHEN type LIKE 'numeric%' THEN value ~* '^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$'
        WHEN type IN ('real', 'double precision') THEN value ~* '^\s*([-+]?((\d+\.?\d*|\.\d+)(e[-+]?\d+)?|inf|infinity)|nan)\s*$'
        WHEN type = 'boolean' THEN value ~* '^\s*(t|true|y|yes|1|f|false|n|no|0)\s*$'
        -- Words for a time are for statements, and have no place in a file.
        WHEN type ~ '^(date|time)' THEN value !~* '\m(infinity|allballs|j\d+)\M'
            AND NOT (of_a_file AND value ~* '\m(epoch|now|today|tomorrow|yesterday)\M')
        ELSE true END;
CREATE OR REPLACE FUNCTION redshift.readable(value text, type text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    IF NOT redshift.reads(value, type) THEN
        RAISE EXCEPTION 'invalid input syntax for type %: "%"', type, value USING ERRCODE = '22P02';
    END IF;
    RETURN value;
END $$;
DO $$
DECLARE
    made record;
    source regtype;
    cast_by text;
BEGIN
    FOR made IN SELECT * FROM (VALUES
        ('smallint', 'int2in(%s)', 'IMMUTABLE'), ('integer', 'int4in(%s)', 'IMMUTABLE'), ('bigint', 'int8in(%s)', 'IMMUTABLE'),
        ('numeric', 'numeric_in(%s, 0, -1)', 'IMMUTABLE'), ('real', 'float4in(%s)', 'IMMUTABLE'),
        ('double precision', 'float8in(%s)', 'IMMUTABLE'), ('boolean', 'boolin(%s)', 'IMMUTABLE'), ('date', 'date_in(%s)', 'STABLE'),
        ('timestamp without time zone', 'timestamp_in(%s, 0, -1)', 'STABLE'),
        ('timestamp with time zone', 'timestamptz_in(%s, 0, -1)', 'STABLE'),
        ('time without time zone', 'time_in(%s, 0, -1)', 'STABLE'), ('time with time zone', 'timetz_in(%s, 0, -1)', 'STABLE')
    ) AS each(type, reads, volatility) LOOP
        FOREACH source IN ARRAY ARRAY['text', 'character varying', 'character']::regtype[] LOOP
            cast_by := format('redshift.%I(%s)', 'to ' || made.type, source);
            EXECUTE format('CREATE OR REPLACE FUNCTION %s RETURNS %s LANGUAGE sql %s RETURN %s', cast_by, made.type, made.volatility,
                           format(made.reads, format('textout(redshift.readable($1::text, %L))', made.type)));
            IF NOT EXISTS (SELECT FROM pg_cast WHERE castsource = source AND casttarget = made.type::regtype) THEN
                EXECUTE format('CREATE CAST (%s AS %s) WITH FUNCTION %s', source, made.type, cast_by);
            END IF;
        END LOOP;
    END LOOP;
END $$;
