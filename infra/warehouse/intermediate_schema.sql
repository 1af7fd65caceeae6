-- A schema of what dbt makes the tables of that people read; nobody else reads it.
create schema if not exists {schema} authorization dbt;
