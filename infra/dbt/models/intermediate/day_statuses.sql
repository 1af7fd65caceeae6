-- How the orders of a day stand: one row for a day of orders and a line status.
{# Never replaced as a table, also where all is built anew: month_summary is a view of it. #}
{{ config(full_refresh=false, on_schema_change='append_new_columns') }}

with lines as (
  {{ lines_by_day(['order_id', 'status', 'amount_usd']) }}
),

orders as (
  select
    order_day,
    order_id,
    status,
    count(*) as line_count,
    sum(amount_usd) as order_value
  from lines
  group by order_day, order_id, status
)

select
  order_day,
  status,
  count(*) as order_count,
  sum(line_count) as line_count,
  sum(order_value) as total_value,
  max(order_value) as max_order_value
from orders
group by order_day, status
