with bags as (
    select
        key as tag,
        epoch,
        variant_get(document, '$.episodes', 'array<variant>') as episodes
    from {{ source('silver', 'documents') }}
    where entity = 'bag'
)

select
    concat(bags.tag, '/', variant_get(exploded.episode, '$.started', 'string')) as bag_journey_id,
    bags.tag,
    bags.epoch,
    {{ moment('exploded.episode', '$.started') }} as started_at,
    {{ moment('exploded.episode', '$.last_scan') }} as last_scan_at,
    variant_get(exploded.episode, '$.first_leg', 'string') as first_leg,
    variant_get(exploded.episode, '$.legs', 'array<string>') as legs,
    variant_get(exploded.episode, '$.destination', 'string') as destination,
    variant_get(exploded.episode, '$.custody', 'string') as custody,
    variant_get(exploded.episode, '$.station', 'string') as station,
    variant_get(exploded.episode, '$.mishandled', 'boolean') as mishandled,
    variant_get(exploded.episode, '$.reasons', 'array<string>') as reasons,
    variant_get(exploded.episode, '$.weight_kg', 'int') as weight_kg,
    variant_get(exploded.episode, '$.pieces', 'int') as pieces,
    size(variant_get(exploded.episode, '$.scans', 'array<variant>')) as scans
from bags
    lateral view explode(bags.episodes) exploded as episode
