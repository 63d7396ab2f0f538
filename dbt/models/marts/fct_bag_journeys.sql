{{ config(
    unique_key='bag_journey_id',
    post_hook="{{ forget_gone(ref('stg_bag_episodes'), ['bag_journey_id']) }}"
) }}

select
    bag_journey_id,
    tag,
    started_at,
    last_scan_at,
    first_leg,
    array_join(legs, ',') as legs,
    destination,
    custody,
    station,
    mishandled,
    array_join(reasons, ',') as reasons,
    weight_kg,
    pieces,
    scans,
    epoch
from {{ ref('stg_bag_episodes') }}
where {{ newer_than_this() }}
