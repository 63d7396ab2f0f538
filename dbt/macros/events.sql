{% macro staged(type) -%}
    {#- The events of one type, up to the cut: what conf/schemas declares of it as columns. `var('facts')` gives the SQL type of each
        fact; what is personal is not among them. It fails where a value is no such thing. -#}
    {%- set facts = var('facts', {}) %}
    select
        event_id,
        epoch,
        subject as token,
        entities,
        timestamp_micros(event_time) as told_at,
        timestamp_micros(arrival_time) as arrived_at
        {%- for fact, as in (facts.get(type, {}) if facts is mapping else {}).items() %},
        {{ moment('payload', '$.' ~ fact) if as == 'timestamp' else "variant_get(payload, '$." ~ fact ~ "', '" ~ as ~ "')" }} as `{{ fact }}`
        {%- endfor %}
    from {{ source('silver', 'events') }}
    where type = '{{ type }}' and epoch <= {{ var('epoch') }}
{%- endmacro %}

{% macro entity(said, kind) -%}
    {#- Key of what an event is about, of a kind of which it names one. -#}
    filter({{ said }}.entities, entity -> entity.kind = '{{ kind }}')[0].key
{%- endmacro %}
