{# Before each run of dbt feira_airflow.summary.built notes in `intermediate.touched` the dates of the orders that
   loads have changed, and in `intermediate.spread_orders` the orders whose lines are of several dates, each with
   its earliest: the day that all of the order counts on, so that orders add up over days. #}

{% macro is_whole() -%}
  {{ return(flags.FULL_REFRESH or not is_incremental()) }}
{%- endmacro %}

{% macro is_touched(day) -%}
  {{ day }} in (select touched.order_day from intermediate.touched)
{%- endmacro %}

{# The hook before an incremental model that selects the rows of the touched days again. #}
{% macro delete_touched(day) -%}
  {%- if is_incremental() -%}
  delete from {{ this }}{{ ' where ' ~ is_touched(day) if not is_whole() }}
  {%- endif -%}
{%- endmacro %}

{# A query of the fact's lines with their `order_day`, of the touched days if not of all. #}
{% macro lines_by_day(columns) -%}
  {%- set fact = source('sales', 'fact') -%}
  select
    order_date as order_day{% for column in columns %},
    {{ column }}
    {%- endfor %}
  from {{ fact }} as lines
  where not exists (
    select 1 from intermediate.spread_orders where spread_orders.order_id = lines.order_id
  )
  {%- if not is_whole() %}
    and {{ is_touched('order_date') }}
  {%- endif %}
  union all
  select
    spread_orders.order_day{% for column in columns %},
    lines.{{ column }}
    {%- endfor %}
  from intermediate.spread_orders
  inner join {{ fact }} as lines on lines.order_id = spread_orders.order_id
  {%- if not is_whole() %}
  where {{ is_touched('spread_orders.order_day') }}
  {%- endif %}
{%- endmacro %}

{# There are none. #}
{% macro redshift__create_indexes(relation) %}{% endmacro %}
