{#- An outcome that no longer holds has an empty state: its journey is open again. -#}
select
    key as journey,
    epoch,
    get_json_object(state, '$.leg') as leg,
    get_json_object(state, '$.result') as result,
    cast(get_json_object(state, '$.departure_delay') as int) as departure_delay,
    cast(get_json_object(state, '$.arrival_delay') as int) as arrival_delay,
    cast(get_json_object(state, '$.bags_checked') as int) as bags_checked,
    cast(get_json_object(state, '$.bags_mishandled') as int) as bags_mishandled
from {{ source('silver', 'states') }}
where entity = 'outcome'
