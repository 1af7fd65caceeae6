-- What each known customer has bought: one row for a customer with a sold line. Guests are left out.
with summed as (
  select
    customer_id,
    min(first_order_date) as first_order_date,
    max(last_order_date) as last_order_date,
    sum(order_count) as order_count,
    sum(revenue) as revenue
  from {{ ref('day_customers') }}
  group by customer_id
)

select {{ declared_columns() }}
from summed
