{{ config(
    unique_key='customer_id',
    post_hook="{{ forget_gone(ref('stg_customer_tokens'), ['customer_id']) }}"
) }}
{%- set counts = [
    'flights_booked', 'flights_flown', 'flights_cancelled', 'no_shows', 'delays', 'delay_minutes', 'bags_checked', 'bags_mishandled',
] %}

with customers as (
    select changes.* from {{ ref('int_customer_changes') }} as changes
    {% if is_incremental() %}
        -- A customer that only lost a token has no newer row anywhere: the number tells.
        left join {{ this }} as known on changes.customer_id = known.customer_id
        where {{ newer_than_this('changes.epoch') }} or known.customer_id is null or changes.tokens != known.tokens
    {% endif %}
),

remembered as (
    select
        tokens.customer_id,
        max(profiles.tier).v as tier,
        min_by(profiles.member_since.v, struct(-profiles.member_since.r, profiles.member_since)) as member_since,
        sum(profiles.searches) as searches
    from {{ ref('stg_customer_tokens') }} as tokens
    left semi join customers on tokens.customer_id = customers.customer_id
    inner join {{ ref('stg_profiles') }} as profiles on tokens.token = profiles.token
    group by tokens.customer_id
),

histories as (
    select
        journeys.customer_id,
        count(*) as flights_booked,
        count_if(journeys.result = 'flown') as flights_flown,
        count_if(journeys.result = 'flight_cancelled') as flights_cancelled,
        count_if(journeys.result = 'no_show') as no_shows,
        count_if(journeys.arrival_delay > 0) as delays,
        sum(greatest(coalesce(journeys.arrival_delay, 0), 0)) as delay_minutes,
        sum(journeys.bags_checked) as bags_checked,
        sum(journeys.bags_mishandled) as bags_mishandled
    from {{ ref('int_customer_journeys') }} as journeys
    left semi join customers on journeys.customer_id = customers.customer_id
    group by journeys.customer_id
)

select
    customers.customer_id,
    customers.tokens,
    {{ value('remembered.tier') }} as tier,
    cast({{ value('remembered.member_since') }} as date) as member_since,
    coalesce(remembered.searches, 0) as searches,
    {% for count in counts %}
        coalesce(histories.{{ count }}, 0) as {{ count }},
    {% endfor %}
    customers.epoch
from customers
left join remembered on customers.customer_id = remembered.customer_id
left join histories on customers.customer_id = histories.customer_id
