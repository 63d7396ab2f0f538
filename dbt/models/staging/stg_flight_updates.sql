select
    event_id,
    timestamp_micros(event_time) as told_at,
    {{ moment('payload', '$.off_block_estimated') }} as off_block_estimated,
    filter(entities, entity -> entity.kind = 'flight')[0].key as leg
from {{ source('silver', 'events') }}
where type = 'flight.leg_updated' and epoch <= {{ var('epoch') }}
