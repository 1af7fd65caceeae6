-- Lengths count bytes: each column of a limited text gets a check of its bytes, however its table was made.
-- PostgreSQL's own limit, of characters, stands beside it; both refuse in the same words.
-- What CREATE TABLE AS says of storage is kept for this trigger by its query; what LIKE takes over is looked up.
CREATE OR REPLACE FUNCTION redshift.say_storage(changes text) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM set_config('redshift.storage', changes, true);
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION redshift.store_otherwise(stored regclass, kinds text, added text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    changes text;
BEGIN
    SELECT string_agg(format('DROP CONSTRAINT %I', conname), ', ') INTO changes
    FROM pg_constraint WHERE conrelid = stored AND contype = 'c' AND conname ~ ('^redshift (' || kinds || ')( |$)');
    changes := concat_ws(', ', changes, nullif(added, ''));
    IF changes <> '' THEN
        EXECUTE format('ALTER TABLE %s %s', stored, changes);
    END IF;
END $$;
CREATE OR REPLACE FUNCTION redshift.storage_like(source regclass) RETURNS text LANGUAGE sql STABLE
    RETURN (SELECT string_agg(format('ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)), ', ') FROM pg_constraint
            WHERE conrelid = source AND contype = 'c' AND conname ~ '^redshift (distkey|diststyle|sortkey)( |$)');
CREATE OR REPLACE FUNCTION redshift.limit_bytes() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
    made regclass;
    changes text;
    said text := current_setting('redshift.storage', true);
BEGIN
    PERFORM set_config('redshift.storage', '', true);
    FOR made IN SELECT DISTINCT objid::regclass FROM pg_event_trigger_ddl_commands() AS command
                JOIN pg_class ON pg_class.oid = command.objid
                WHERE command.classid = 'pg_class'::regclass AND relkind = 'r' LOOP
        SELECT redshift.storage_like(replace(substring(pg_get_constraintdef(oid) FROM '''(.*)'' IS NOT NULL'), '''''', '''')::regclass)
        INTO changes
        FROM pg_constraint WHERE conrelid = made AND contype = 'c' AND conname = 'redshift like';
        IF FOUND THEN
            PERFORM redshift.store_otherwise(made, 'like', changes);
        ELSIF said <> '' THEN
            PERFORM redshift.store_otherwise(made, 'none', said);
        END IF;
        -- In one statement: it comes here again, and then finds nothing to change.
        SELECT string_agg(
            CASE WHEN present IS NOT NULL THEN format('DROP CONSTRAINT %I', name) ELSE '' END
            || CASE WHEN present IS NOT NULL AND wanted IS NOT NULL THEN ', ' ELSE '' END
            || CASE WHEN wanted IS NOT NULL
                    THEN format('ADD CONSTRAINT %I CHECK (redshift.fits(%I::text, %s, %s))', name, attname, bytes, wanted)
                    ELSE '' END, ', ')
        INTO changes
        FROM (
            SELECT attname, name, bytes, pg_get_constraintdef(pg_constraint.oid) AS present,
                   CASE WHEN limited AND bytes > 0 THEN quote_literal(written) END AS wanted
            FROM (
                SELECT attrelid, attname, 'redshift bytes ' || attnum AS name, atttypmod - 4 AS bytes,
                       format_type(atttypid, atttypmod) AS written,
                       atttypid IN ('character varying'::regtype, 'character'::regtype) AS limited
                FROM pg_attribute WHERE attrelid = made AND attnum > 0 AND NOT attisdropped
            ) AS columns
            LEFT JOIN pg_constraint ON conrelid = attrelid AND conname = name
        ) AS checks
        WHERE (present IS NULL) <> (wanted IS NULL) OR strpos(present, wanted) = 0;
        IF changes IS NOT NULL THEN
            EXECUTE format('ALTER TABLE %s %s', made, changes);
        END IF;
    END LOOP;
END $$;
DROP EVENT TRIGGER IF EXISTS redshift_limit_bytes;
CREATE EVENT TRIGGER redshift_limit_bytes ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE')
    EXECUTE FUNCTION redshift.limit_bytes();
