{% test within_range(model, column_name, lowest, highest) %}
{#- dbt turns Spark's ANSI mode off, so a cast that overflows does so silently: what is a number must also be a possible one. -#}
select {{ column_name }}
from {{ model }}
where {{ column_name }} not between {{ lowest }} and {{ highest }}
{% endtest %}
