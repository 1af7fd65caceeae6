-- What each day sold: one row for every order date in the fact, also where nothing was sold on it.
{{ config(
  materialized='incremental',
  incremental_strategy='append',
  pre_hook="{{ delete_touched('order_date') }}"
) }}

with summed as (
  select
    order_date,
    count(distinct case when {{ is_sold() }} then order_id end) as order_count,
    count(case when {{ is_sold() }} then 1 end) as line_count,
    coalesce(sum(case when {{ is_sold() }} then amount_usd end), 0) as revenue,
    coalesce(sum(case when {{ is_cancelled() }} then amount_usd end), 0) as cancelled_amount
  from {{ source('sales', 'fact') }}
  {%- if not is_whole() %}
  where {{ is_touched('order_date') }}
  {%- endif %}
  group by order_date
)

select {{ declared_columns() }}
from summed
