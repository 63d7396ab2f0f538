select
    key as leg,
    epoch,
    variant_get(document, '$.airline', 'string') as airline,
    variant_get(document, '$.number', 'string') as number,
    cast(variant_get(document, '$.origin_date', 'string') as date) as origin_date,
    variant_get(document, '$.departure', 'string') as departure,
    variant_get(document, '$.arrival', 'string') as arrival,
    variant_get(document, '$.diverted_to', 'string') as diverted_to,
    variant_get(document, '$.status', 'string') as status,
    {{ moment('document', '$.off_block.scheduled') }} as off_block_scheduled,
    {{ moment('document', '$.off_block.actual') }} as off_block_actual,
    {{ moment('document', '$.on_block.scheduled') }} as on_block_scheduled,
    {{ moment('document', '$.on_block.actual') }} as on_block_actual,
    variant_get(document, '$.departure_delay', 'int') as departure_delay,
    variant_get(document, '$.arrival_delay', 'int') as arrival_delay
from {{ source('silver', 'documents') }}
where entity = 'flight'
