{# The mart's columns in its contract's order, cast to its contract's types (models/declared/marts.yml
   has both).

   A column that the contract gains and the model does not select is then an error of the database
   that names it. #}
{% macro declared_columns() -%}
  {%- if not execute -%}
    {# While dbt parses, models/declared/marts.yml is not yet joined to the model. #}
    *
  {%- else -%}
    {%- for column in model.columns.values() %}
    cast({{ column.name }} as {{ column.data_type }}) as {{ column.name }}{{ ',' if not loop.last }}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro %}
