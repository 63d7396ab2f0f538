{#- A journey that two tokens of one customer travelled counts once. -#}
select distinct
    tokens.customer_id,
    outcomes.journey,
    outcomes.result,
    outcomes.departure_delay,
    outcomes.arrival_delay,
    outcomes.bags_checked,
    outcomes.bags_mishandled
from {{ ref('stg_outcomes') }} as outcomes
inner join {{ ref('stg_travellers') }} as travellers on outcomes.journey = travellers.journey
inner join {{ ref('stg_customer_tokens') }} as tokens on travellers.token = tokens.token
where outcomes.result is not null
