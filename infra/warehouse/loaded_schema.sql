-- A schema whose tables the loads make: the loader owns it, dbt builds from it, people read it.
create schema if not exists {schema} authorization warehouse_loader;
grant usage on schema {schema} to dbt, reader;
grant select on all tables in schema {schema} to dbt, reader;
-- What the owner makes later is readable too; views and materialised views count as tables.
alter default privileges for user warehouse_loader in schema {schema} grant select on tables to dbt, reader;
