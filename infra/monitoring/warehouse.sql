-- What monitoring may know of the warehouse: these figures, and no row of any table.
-- A superuser runs it in the warehouse's database; each statement may be run again.
create schema if not exists monitoring;
revoke all on schema monitoring from public, reader;
grant usage on schema monitoring to monitor;
-- Whose function it is: one that nobody logs in as, since an owner may change it.
do $$ begin
    create role monitoring_owner nologin;
exception when duplicate_object then
    null;
end $$;
grant reader to monitoring_owner;
create or replace function monitoring.figures() returns table (figure text, value double precision)
language plpgsql stable security definer set search_path = '' as $$
begin
    if to_regclass('sales.load_ledger') is not null then
        return query
            select 'newest_agreed_day', extract(epoch from (
                select extract_day::timestamp from sales.load_ledger
                where agreed_snapshot_id is not null order by extract_day desc limit 1
            ))::double precision;
    end if;
    if to_regclass('sales.held_days') is not null then
        return query select 'held_days', count(*)::double precision from sales.held_days;
    end if;
    if to_regclass('sales.unreconciled_dates') is not null then
        return query
            select 'unreconciled_dates', count(*)::double precision from sales.unreconciled_dates;
    end if;
    if to_regclass('sales.report_ledger') is not null then
        return query select 'mail_due', count(*)::double precision
            from sales.report_ledger where mail_delivered_at is null;
        return query select 'slack_due', count(*)::double precision
            from sales.report_ledger where slack_delivered_at is null;
        return query select 'last_report', extract(epoch from max(prepared_at))::double precision
            from sales.report_ledger;
    end if;
end $$;
-- It does what the reader may do, and whoever may call it sees no more than what it returns.
alter function monitoring.figures() owner to monitoring_owner;
revoke all on function monitoring.figures() from public, reader;
grant execute on function monitoring.figures() to monitor;
