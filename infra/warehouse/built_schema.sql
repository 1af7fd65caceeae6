-- A schema whose tables dbt builds, and people read.
create schema if not exists {schema} authorization dbt;
grant usage on schema {schema} to reader;
grant select on all tables in schema {schema} to reader;
alter default privileges for user dbt in schema {schema} grant select on tables to reader;
