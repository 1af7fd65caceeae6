-- What a day's orders have sold to each known customer: one row for a day of orders and a customer.
with lines as (
  {{ lines_by_day(['order_id', 'customer_id', 'order_date', 'status', 'amount_usd']) }}
)

select
  order_day,
  customer_id,
  min(order_date) as first_order_date,
  max(order_date) as last_order_date,
  count(distinct order_id) as order_count,
  sum(amount_usd) as revenue
from lines
where customer_id is not null and {{ is_sold() }}
group by order_day, customer_id
