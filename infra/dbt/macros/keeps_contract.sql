{# Rows that break a table's contract: (rule, failing_rows), a row for each rule that is broken.

   One query a table instead of one a rule: on a laptop dbt's own cost of a test is many times the
   query's. `required` are columns that are never null, `allowed` maps columns to their values, `key`
   are the columns that are unique together. #}
{% test keeps_contract(model, required=[], allowed={}, key=[]) %}
  {{ config(fail_calc='coalesce(sum(failing_rows), 0)') }}
  with counted as (
    select
      {%- for column in required %}
      count(*) - count({{ column }}) as null_{{ loop.index }},
      {%- endfor %}
      {%- for column, values in allowed.items() %}
      count(case when {{ column }} not in (
        {%- for value in values %}'{{ value | replace("'", "''") }}'{{ ', ' if not loop.last }}{% endfor -%}
      ) then 1 end) as other_{{ loop.index }},
      {%- endfor %}
      count(*) as all_rows
    from {{ model }}
  ),
  {%- if key %}
  repeated as (
    select count(*) as key_count, sum(rows_of_key) as row_count
    from (
      select count(*) as rows_of_key
      from {{ model }}
      group by {{ key | join(', ') }}
      having count(*) > 1
    ) as repeated_keys
  ),
  {%- endif %}
  broken as (
    {%- for column in required %}
    select '{{ column }} is null' as rule, null_{{ loop.index }} as failing_rows from counted
    union all
    {%- endfor %}
    {%- for column, values in allowed.items() %}
    select '{{ column }} is not one of {{ values | join(", ") | replace("'", "''") }}', other_{{ loop.index }}
    from counted
    union all
    {%- endfor %}
    {%- if key %}
    select 'the key ({{ key | join(", ") }}) is repeated', row_count from repeated where key_count > 0
    union all
    {%- endif %}
    select 'nothing', 0
  )
  select rule, failing_rows from broken where failing_rows > 0
{% endtest %}
