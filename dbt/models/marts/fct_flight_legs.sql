{{ config(
    unique_key='leg',
    post_hook="{{ forget_gone(ref('stg_flights'), ['leg']) }}"
) }}

with legs as (
    select * from {{ ref('stg_flights') }}
    where {{ newer_than_this() }}
),

updates as (
    select
        said.off_block_estimated,
        said.told_at,
        {{ entity('said', 'flight') }} as leg
    from {{ ref('stg_flight_leg_updated') }} as said
),

told as (
    select
        updates.leg,
        count(*) as updates,
        count(distinct updates.off_block_estimated) as estimates,
        max(updates.told_at) as last_told_at
    from updates
    left semi join legs on updates.leg = legs.leg
    group by updates.leg
)

select
    legs.leg,
    legs.airline,
    legs.number,
    legs.origin_date,
    legs.departure,
    legs.arrival,
    legs.diverted_to,
    legs.status,
    legs.off_block_scheduled,
    legs.off_block_actual,
    legs.on_block_scheduled,
    legs.on_block_actual,
    legs.departure_delay,
    legs.arrival_delay,
    case when legs.off_block_actual is not null then legs.departure_delay < {{ var('on_time_minutes') }} end as departed_on_time,
    case when legs.on_block_actual is not null then legs.arrival_delay < {{ var('on_time_minutes') }} end as arrived_on_time,
    coalesce(told.updates, 0) as updates,
    coalesce(told.estimates, 0) as estimates,
    told.last_told_at,
    legs.epoch
from legs
left join told on legs.leg = told.leg
