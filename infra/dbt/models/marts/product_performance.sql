-- What each product sells: one row for a stock code, without lines that are no products.
with product_lines as (
  select *
  from {{ source('sales', 'fact') }}
  where line_kind = 'product'
),

described as (
  select
    sku,
    description,
    row_number() over (
      partition by sku
      order by updated_at desc, {{ bytewise('order_id') }} desc, line_number desc
    ) as age
  from product_lines
  where description is not null
),

summed as (
  select
    sku,
    count(distinct case when {{ is_sold() }} then order_id end) as order_count,
    coalesce(sum(case when {{ is_sold() }} then quantity end), 0) as units_sold,
    coalesce(sum(case when {{ is_sold() }} then amount_usd end), 0) as revenue,
    -- As bigint, since the absolute value of the smallest integer is no integer.
    coalesce(
      sum(case when {{ is_cancelled() }} then abs(cast(quantity as bigint)) end), 0
    ) as units_cancelled
  from product_lines
  group by sku
),

joined as (
  select summed.*, described.description
  from summed
  left join described on described.sku = summed.sku and described.age = 1
)

select {{ declared_columns() }}
from joined
