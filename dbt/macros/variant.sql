{% macro moment(of, path) -%}
    {#- A time of a document or payload (µs UTC) as a timestamp. -#}
    timestamp_micros(variant_get({{ of }}, '{{ path }}', 'bigint'))
{%- endmacro %}
