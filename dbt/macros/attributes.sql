{% macro attribute(name, as) -%}
    {#- What a state of silver.states keeps of an attribute of conf/attributes, as core/folds.py lays it out; null = nothing. -#}
    {%- set slots = var('slots', {}) -%}
    from_json(get_json_object(state, '$.{{ slots.get(name, name) if slots is mapping else name }}'), '{{ as }}')
{%- endmacro %}

{% macro value(of) -%}
    {#- The text of a value that folds keep as JSON. -#}
    variant_get(parse_json({{ of }}), '$', 'string')
{%- endmacro %}
