-- What each known customer has bought: one row for a customer with a sold line. Guests are left out.
with summed as (
  select
    customer_id,
    min(order_date) as first_order_date,
    max(order_date) as last_order_date,
    count(distinct order_id) as order_count,
    sum(amount_usd) as revenue
  from {{ source('sales', 'fact') }}
  where customer_id is not null and {{ is_sold() }}
  group by customer_id
)

select {{ declared_columns() }}
from summed
