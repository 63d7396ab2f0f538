{{ config(
    unique_key='customer_id',
    post_hook="{{ forget_gone(ref('stg_customer_tokens'), ['customer_id']) }}"
) }}

with customers as (
    select changes.* from {{ ref('int_customer_changes') }} as changes
    {% if is_incremental() %}
        -- A customer that only lost a token has no newer row anywhere: the number tells.
        left join {{ this }} as known on changes.customer_id = known.customer_id
        where {{ newer_than_this('changes.epoch') }} or known.customer_id is null or changes.tokens != known.tokens
    {% endif %}
),

tokens as (
    select
        links.token,
        links.customer_id
    from {{ ref('stg_customer_tokens') }} as links
    left semi join customers on links.customer_id = customers.customer_id
),

accounts as (
    select
        tokens.customer_id,
        max_by(said.tier, said.said) filter (where said.says_tier) as tier,
        min_by(said.enrolled, said.said) filter (where said.says_enrolled) as member_since
    from {{ ref('stg_loyalty_accounts') }} as said
    inner join tokens on said.token = tokens.token
    group by tokens.customer_id
),

searches as (
    select
        tokens.customer_id,
        count(*) as searches
    from {{ ref('stg_searches') }} as searched
    inner join tokens on searched.token = tokens.token
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
    accounts.tier,
    accounts.member_since,
    coalesce(searches.searches, 0) as searches,
    coalesce(histories.flights_booked, 0) as flights_booked,
    coalesce(histories.flights_flown, 0) as flights_flown,
    coalesce(histories.flights_cancelled, 0) as flights_cancelled,
    coalesce(histories.no_shows, 0) as no_shows,
    coalesce(histories.delays, 0) as delays,
    coalesce(histories.delay_minutes, 0) as delay_minutes,
    coalesce(histories.bags_checked, 0) as bags_checked,
    coalesce(histories.bags_mishandled, 0) as bags_mishandled,
    customers.epoch
from customers
left join accounts on customers.customer_id = accounts.customer_id
left join searches on customers.customer_id = searches.customer_id
left join histories on customers.customer_id = histories.customer_id
