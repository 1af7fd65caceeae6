{# A materialised view is refreshed by each run, and rebuilt when its SQL has changed.

   Both adapters compare what is declared beside the SQL alone: after a change of the SQL they would go
   on refreshing the old definition. So the view carries the hash of its SQL in its comment. The comment
   belongs to the view itself and thereby survives the renames of a rebuild. #}

{% macro postgres__get_create_materialized_view_as_sql(relation, sql) %}
  create materialized view if not exists {{ relation }} as {{ sql }};
  comment on materialized view {{ relation }} is '{{ definition_comment(sql) }}';
  {% for index in config.get('indexes', []) -%}
    {{ get_create_index_sql(relation, index) }};
  {% endfor %}
{% endmacro %}

{# Of Redshift's views a materialised one is commented on as any other. #}
{% macro redshift__get_create_materialized_view_as_sql(relation, sql) %}
  create materialized view {{ relation }} auto refresh no as {{ sql }};
  comment on view {{ relation }} is '{{ definition_comment(sql) }}';
{% endmacro %}

{# None: refresh. Otherwise dbt rebuilds the view: beside the old one, and swaps them, where a view can be
   renamed; in its place on Redshift, for which dbt takes this macro too. #}
{% macro postgres__get_materialized_view_configuration_changes(existing_relation, new_config) %}
  {% set found = run_query(
    "select description from pg_description where objsubid = 0 and classoid = 'pg_class'::regclass"
    ~ " and objoid = '" ~ existing_relation.include(database=false) ~ "'::regclass"
  ) %}
  {% if found.rows | length == 0 or found.columns[0].values()[0] != definition_comment(sql) %}
    {% do return({'requires_full_refresh': true}) %}
  {% endif %}
  {% do return(none) %}
{% endmacro %}

{% macro definition_comment(sql) -%}
  Made by dbt from SQL with the hash {{ local_md5(sql) }}
{%- endmacro %}
