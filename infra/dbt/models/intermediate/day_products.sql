-- What a day's orders have sold of each product, and its newest description: one row for a day of orders and a
-- stock code.
with lines as (
  {{ lines_by_day([
    'order_id', 'line_number', 'sku', 'description', 'quantity', 'status', 'updated_at', 'amount_usd', 'line_kind'
  ]) }}
),

product_lines as (
  select *
  from lines
  where line_kind = 'product'
),

described as (
  select
    order_day,
    sku,
    updated_at as described_at,
    order_id as described_order,
    line_number as described_line,
    description,
    row_number() over (
      partition by order_day, sku
      order by updated_at desc, {{ bytewise('order_id') }} desc, line_number desc
    ) as age
  from product_lines
  where description is not null
),

summed as (
  select
    order_day,
    sku,
    count(distinct case when {{ is_sold() }} then order_id end) as order_count,
    coalesce(sum(case when {{ is_sold() }} then quantity end), 0) as units_sold,
    coalesce(sum(case when {{ is_sold() }} then amount_usd end), 0) as revenue,
    -- As bigint, since the absolute value of the smallest integer is no integer.
    coalesce(
      sum(case when {{ is_cancelled() }} then abs(cast(quantity as bigint)) end), 0
    ) as units_cancelled
  from product_lines
  group by order_day, sku
)

select
  summed.*,
  described.described_at,
  described.described_order,
  described.described_line,
  described.description
from summed
left join described
  on described.order_day = summed.order_day and described.sku = summed.sku and described.age = 1
