-- What each day sold: one row for every order date in the fact, also where nothing was sold on it.
with summed as (
  select
    order_date,
    count(distinct case when {{ is_sold() }} then order_id end) as order_count,
    count(case when {{ is_sold() }} then 1 end) as line_count,
    coalesce(sum(case when {{ is_sold() }} then amount_usd end), 0) as revenue,
    coalesce(sum(case when {{ is_cancelled() }} then amount_usd end), 0) as cancelled_amount
  from {{ source('sales', 'fact') }}
  group by order_date
)

select {{ declared_columns() }}
from summed
