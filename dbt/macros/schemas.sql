{% macro generate_schema_name(custom_schema_name, node) -%}
    {#- The schema a folder names, as it is: not behind the target's. -#}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
