select
    from_key as token,
    to_key as journey,
    epoch
from {{ source('silver', 'relations') }}
where from_kind = 'profile' and kind = 'travels' and to_kind = 'journey'
