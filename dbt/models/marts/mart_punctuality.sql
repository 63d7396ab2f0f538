{{ config(
    unique_key=['origin_date', 'airline', 'departure'],
    post_hook="{{ forget_gone(ref('fct_flight_legs'), ['origin_date', 'airline', 'departure']) }}"
) }}

with touched as (
    select distinct
        origin_date,
        airline,
        departure
    from {{ ref('fct_flight_legs') }}
    where {{ newer_than_this() }}
)

select
    legs.origin_date,
    legs.airline,
    legs.departure,
    count(*) as flights,
    count_if(legs.status = 'cancelled') as cancelled,
    count_if(legs.status = 'diverted') as diverted,
    count(legs.departed_on_time) as departed,
    count_if(legs.departed_on_time) as departed_on_time,
    count(legs.arrived_on_time) as arrived,
    count_if(legs.arrived_on_time) as arrived_on_time,
    count_if(legs.arrived_on_time is not null and legs.arrival_delay >= 180) as arrived_3h_late,
    coalesce(sum(greatest(legs.departure_delay, 0)) filter (where legs.departed_on_time is not null), 0) as departure_delay_minutes,
    coalesce(sum(greatest(legs.arrival_delay, 0)) filter (where legs.arrived_on_time is not null), 0) as arrival_delay_minutes,
    max(legs.epoch) as epoch
from {{ ref('fct_flight_legs') }} as legs
left semi join touched
    on
        legs.origin_date = touched.origin_date
        and legs.airline = touched.airline
        and legs.departure = touched.departure
group by legs.origin_date, legs.airline, legs.departure
