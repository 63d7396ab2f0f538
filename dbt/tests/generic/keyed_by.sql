{% test keyed_by(model, columns) %}
{#- The key is there in every row, and no two rows share one: `unique` and `not_null` of every column in one query. -#}
select {{ columns | join(', ') }}
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1{% for column in columns %} or {{ column }} is null{% endfor %}
{% endtest %}
