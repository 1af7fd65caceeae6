-- How each month's orders stand: one row for a month and a line status.
with order_statuses as (
  select
    order_id,
    status,
    min(order_date) as first_date,
    count(*) as line_count,
    sum(amount_usd) as order_value
  from {{ source('sales', 'fact') }}
  group by order_id, status
),

-- An order's month is that of its earliest line of any status.
dated as (
  select
    status,
    line_count,
    order_value,
    date_trunc(
      'month', cast(min(first_date) over (partition by order_id) as timestamp)
    ) as order_month
  from order_statuses
),

summed as (
  select
    order_month,
    status,
    count(*) as order_count,
    sum(line_count) as line_count,
    {{ average_amount('order_value') }} as average_order_value,
    max(order_value) as max_order_value,
    case when {{ is_sold() }} then sum(order_value) else 0 end as revenue
  from dated
  group by order_month, status
)

select {{ declared_columns() }}
from summed
