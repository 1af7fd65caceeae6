-- How each month's orders stand: one row for a month and a line status. An order's month is that of its earliest
-- line of any status.
{# It is refreshed where all is built anew too; what has changed of its SQL replaces it. #}
{{ config(full_refresh=false) }}

with months as (
  select
    date_trunc('month', cast(order_day as timestamp)) as order_month,
    status,
    cast(sum(order_count) as bigint) as order_count,
    sum(line_count) as line_count,
    sum(total_value) as total_value,
    max(max_order_value) as max_order_value
  from {{ ref('day_statuses') }}
  group by 1, status
),

summed as (
  select
    order_month,
    status,
    order_count,
    line_count,
    {{ average_amount('total_value', 'order_count') }} as average_order_value,
    max_order_value,
    case when {{ is_sold() }} then total_value else 0 end as revenue
  from months
)

select {{ declared_columns() }}
from summed
