-- System tables and views under Redshift's names, which the translator looks up here. They have those of their
-- columns that can be filled; a query for another fails, as no answer is better than a made-up one.
CREATE TABLE IF NOT EXISTS redshift.load_errors (
    query bigint GENERATED ALWAYS AS IDENTITY,
    starttime timestamp NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    table_name text NOT NULL,
    filename text NOT NULL,
    line_number bigint NOT NULL,
    colname text NOT NULL,
    type text NOT NULL,
    raw_line text NOT NULL,
    raw_field_value text NOT NULL,
    err_code integer NOT NULL,
    err_reason text NOT NULL
);
-- Whose COPY it was. A user sees the rows of their own, a superuser all.
ALTER TABLE redshift.load_errors ADD COLUMN IF NOT EXISTS username name NOT NULL DEFAULT session_user;
CREATE OR REPLACE FUNCTION redshift.sees(username name) RETURNS boolean LANGUAGE sql STABLE
    RETURN username = session_user OR (SELECT rolsuper FROM pg_roles WHERE rolname = session_user);
CREATE OR REPLACE VIEW redshift.stl_load_errors WITH (security_barrier) AS
    SELECT 100 AS userid, 0 AS slice, to_regclass(quote_ident(table_name))::oid::integer AS tbl, starttime, query,
           filename, line_number, colname, type, raw_line, raw_field_value, err_code, err_reason
    FROM redshift.load_errors WHERE redshift.sees(username);
CREATE OR REPLACE VIEW redshift.sys_load_error_detail WITH (security_barrier) AS
    SELECT 100 AS user_id, query AS query_id, current_database()::text AS database_name, starttime AS start_time,
           filename AS file_name, line_number, colname AS column_name, type AS column_type, err_code AS error_code,
           err_reason AS error_message
    FROM redshift.load_errors WHERE redshift.sees(username);

-- What was declared of tables: the kind (`primary key`, `sortkey`), its name and its columns in order.
CREATE OR REPLACE VIEW redshift.declared AS
    SELECT conrelid, kind, conname, attnum, attname, position
    FROM (
        SELECT conrelid, conname::text, conkey, substring(conname FROM '^redshift (primary key|foreign key|unique|distkey|sortkey)') AS kind,
               string_to_array(substring(pg_get_constraintdef(oid) FROM 'ROW\((.*?)\) IS NOT NULL'), ', ') AS names
        FROM pg_constraint WHERE contype = 'c' AND conname LIKE 'redshift %'
    ) AS marked
    JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey),
    LATERAL (SELECT array_position(names, quote_ident(attname)) AS position) AS placed
    WHERE kind IS NOT NULL;

CREATE OR REPLACE VIEW redshift.pg_table_def AS
    SELECT nspname::text AS schemaname, relname::text AS tablename, attribute.attname::text AS "column",
           format_type(atttypid, atttypmod) AS type, 'none'::text AS encoding,
           EXISTS (SELECT FROM redshift.declared AS d WHERE d.conrelid = pg_class.oid AND d.attnum = attribute.attnum AND kind = 'distkey') AS distkey,
           coalesce((SELECT position FROM redshift.declared AS d WHERE d.conrelid = pg_class.oid AND d.attnum = attribute.attnum AND kind = 'sortkey'), 0) AS sortkey,
           attnotnull AS "notnull"
    FROM pg_attribute AS attribute JOIN pg_class ON pg_class.oid = attrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
    -- Redshift shows the tables of schemas in the search path.
    WHERE relkind = 'r' AND attnum > 0 AND NOT attisdropped AND nspname = ANY (current_schemas(false))
    ORDER BY 1, 2, attnum;

CREATE OR REPLACE VIEW redshift.svv_tables AS
    SELECT table_catalog::text, table_schema::text, table_name::text, table_type::text, NULL::text AS remarks
    FROM information_schema.tables WHERE table_schema <> 'redshift';
CREATE OR REPLACE VIEW redshift.svv_columns AS
    SELECT table_catalog::text, table_schema::text, table_name::text, column_name::text, ordinal_position::integer,
           column_default::text, is_nullable::text, data_type::text, character_maximum_length::integer,
           numeric_precision::integer, numeric_scale::integer, NULL::text AS remarks
    FROM information_schema.columns WHERE table_schema <> 'redshift';
CREATE OR REPLACE VIEW redshift.svv_redshift_tables AS
    SELECT table_catalog AS database_name, table_schema AS schema_name, table_name,
           CASE table_type WHEN 'BASE TABLE' THEN 'TABLE' ELSE table_type END AS table_type, NULL::text AS table_acl, remarks
    FROM redshift.svv_tables;
CREATE OR REPLACE VIEW redshift.svv_redshift_columns AS
    SELECT table_catalog AS database_name, table_schema AS schema_name, table_name, column_name, ordinal_position, data_type,
           column_default, is_nullable, remarks
    FROM redshift.svv_columns;
CREATE OR REPLACE VIEW redshift.svv_table_info AS
    SELECT current_database()::text AS database, nspname::text AS schema, pg_class.oid::bigint AS table_id, relname::text AS "table",
           coalesce((SELECT 'KEY(' || attname || ')' FROM redshift.declared AS d WHERE d.conrelid = pg_class.oid AND kind = 'distkey'),
                    (SELECT upper(substring(conname FROM '^redshift diststyle (.*)')) FROM pg_constraint
                     WHERE conrelid = pg_class.oid AND conname LIKE 'redshift diststyle %' LIMIT 1), 'AUTO(ALL)') AS diststyle,
           (SELECT attname::text FROM redshift.declared AS d WHERE d.conrelid = pg_class.oid AND kind = 'sortkey' AND position = 1) AS sortkey1,
           (SELECT count(*)::integer FROM redshift.declared AS d WHERE d.conrelid = pg_class.oid AND kind = 'sortkey') AS sortkey_num,
           greatest(reltuples, 0)::numeric AS tbl_rows
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema', 'redshift');

-- Materialized views are among the views, and their definition says what they are.
CREATE OR REPLACE VIEW redshift.pg_views AS
    SELECT nspname::text AS schemaname, relname::text AS viewname, pg_get_userbyid(relowner)::text AS viewowner,
           CASE relkind WHEN 'm' THEN format(E'create materialized view %I.%I as\n', nspname, relname) ELSE '' END
           || pg_get_viewdef(pg_class.oid) AS definition
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind IN ('v', 'm') AND nspname <> 'redshift';
CREATE OR REPLACE VIEW redshift.views AS
    SELECT current_database()::text AS table_catalog, schemaname AS table_schema, viewname AS table_name,
           definition AS view_definition, 'NONE'::text AS check_option, 'NO'::text AS is_updatable,
           'NO'::text AS is_insertable_into
    FROM redshift.pg_views;

-- Of the information schema, the keys as they were declared.
CREATE OR REPLACE VIEW redshift.table_constraints AS
    SELECT DISTINCT current_database()::text AS constraint_catalog, nspname::text AS constraint_schema,
           relname || '_' || replace(replace(conname, 'redshift ', ''), ' ', '_') AS constraint_name,
           current_database()::text AS table_catalog, nspname::text AS table_schema, relname::text AS table_name,
           upper(kind) AS constraint_type, 'NO'::text AS is_deferrable, 'NO'::text AS initially_deferred
    FROM redshift.declared JOIN pg_class ON pg_class.oid = conrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE kind IN ('primary key', 'foreign key', 'unique');
CREATE OR REPLACE VIEW redshift.key_column_usage AS
    SELECT current_database()::text AS constraint_catalog, nspname::text AS constraint_schema,
           relname || '_' || replace(replace(conname, 'redshift ', ''), ' ', '_') AS constraint_name,
           current_database()::text AS table_catalog, nspname::text AS table_schema, relname::text AS table_name,
           attname::text AS column_name, position AS ordinal_position
    FROM redshift.declared JOIN pg_class ON pg_class.oid = conrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE kind IN ('primary key', 'foreign key', 'unique');

-- Everybody may look; what a view shows of tables is up to PostgreSQL's own views of them.
GRANT SELECT ON ALL TABLES IN SCHEMA redshift TO PUBLIC;
REVOKE ALL ON redshift.load_errors FROM PUBLIC;
