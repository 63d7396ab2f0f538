select
    event_id,
    subject as token,
    epoch,
    timestamp_micros(event_time) as searched_at,
    variant_get(payload, '$.route', 'string') as route
from {{ source('silver', 'events') }}
where type = 'search.performed' and subject is not null and epoch <= {{ var('epoch') }}
