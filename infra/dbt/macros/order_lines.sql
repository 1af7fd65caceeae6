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
