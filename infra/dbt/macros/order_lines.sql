{# What the words of the sales domain mean in SQL. A test holds is_sold to feira.sales.published. #}

{# Only such lines are revenue. #}
{% macro is_sold() -%}
  status in ('completed', 'shipped')
{%- endmacro %}

{% macro is_cancelled() -%}
  status = 'cancelled'
{%- endmacro %}

{# Text in the order of its bytes, whatever the database's collation. #}
{% macro bytewise(column) -%}
  {{ adapter.dispatch('bytewise')(column) }}
{%- endmacro %}

{% macro default__bytewise(column) -%}
  {{ column }} collate "C"
{%- endmacro %}

{# Redshift orders text bytewise, and knows no other collation by that name. #}
{% macro redshift__bytewise(column) -%}
  {{ column }}
{%- endmacro %}

{# The average of `count` amounts, rounded half away from zero at the fourth decimal. #}
{% macro average_amount(total, count) -%}
  {{ adapter.dispatch('average_amount')(total, count) }}
{%- endmacro %}

{% macro default__average_amount(total, count) -%}
  round({{ total }} / {{ count }}, 4)
{%- endmacro %}

{# How many decimals a quotient of Redshift's has, and how the next is rounded, is not said. So it is worked out
   in ten-thousandths, whole numbers whose division leaves its rest away. #}
{% macro redshift__average_amount(total, count) -%}
  cast(
    case when {{ total }} < 0 then -1 else 1 end
    * ((2 * abs(cast({{ total }} * 10000 as bigint)) + {{ count }}) / (2 * {{ count }}))
    as decimal(19, 0)
  ) * cast(0.0001 as decimal(5, 4))
{%- endmacro %}
