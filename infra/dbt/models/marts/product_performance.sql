-- What each product sells: one row for a stock code, without lines that are no products.
with summed as (
  select
    sku,
    sum(order_count) as order_count,
    sum(units_sold) as units_sold,
    sum(revenue) as revenue,
    sum(units_cancelled) as units_cancelled,
    max(described_at) as described_at
  from {{ ref('day_products') }}
  group by sku
),

-- Only what was described at a product's last moment is sorted.
described as (
  select
    days.sku,
    days.description,
    row_number() over (
      partition by days.sku
      order by {{ bytewise('days.described_order') }} desc, days.described_line desc
    ) as age
  from {{ ref('day_products') }} as days
  inner join summed on summed.sku = days.sku and summed.described_at = days.described_at
),

joined as (
  select summed.*, described.description
  from summed
  left join described on described.sku = summed.sku and described.age = 1
)

select {{ declared_columns() }}
from joined
