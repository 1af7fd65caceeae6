{# A model's schema is exactly the one it names: `marts`, not `<target schema>_marts`. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
  {{ custom_schema_name or target.schema }}
{%- endmacro %}
