-- Lengths count bytes: each column of a limited text gets a check of its bytes, however its table was made.
-- PostgreSQL's own limit, of characters, stands beside it; both refuse in the same words.
CREATE OR REPLACE FUNCTION redshift.limit_bytes() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
    made regclass;
    changes text;
BEGIN
    FOR made IN SELECT DISTINCT objid::regclass FROM pg_event_trigger_ddl_commands() AS command
                JOIN pg_class ON pg_class.oid = command.objid
                WHERE command.classid = 'pg_class'::regclass AND relkind = 'r' LOOP
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
