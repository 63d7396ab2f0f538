{% test no_sealed_value(model) %}
{#- No personal value, not even sealed, in what analysts read. -#}
select 1 as sealed
from {{ model }}
where to_json(struct(*)) like '%sealed:%'
{% endtest %}
