select
    event_id,
    subject as token,
    epoch,
    struct(event_time, source_sequence, arrival_time, event_id) as said,
    variant_get(payload, '$.tier', 'variant') is not null as says_tier,
    variant_get(payload, '$.tier', 'string') as tier,
    variant_get(payload, '$.enrolled', 'variant') is not null as says_enrolled,
    cast(variant_get(payload, '$.enrolled', 'string') as date) as enrolled
from {{ source('silver', 'events') }}
where type = 'loyalty.account_updated' and epoch <= {{ var('epoch') }}
