{#- Which customers a cut touched, and when: what one of their tokens did, what became of a journey, or a link. -#}
with changes as (
    {% for told in ['stg_customer_tokens', 'stg_profiles', 'stg_travellers'] %}
        select
            token,
            epoch
        from {{ ref(told) }}
        union all
    {% endfor %}
    select
        travellers.token,
        outcomes.epoch
    from {{ ref('stg_outcomes') }} as outcomes
    inner join {{ ref('stg_travellers') }} as travellers on outcomes.journey = travellers.journey
)

select
    tokens.customer_id,
    max(changes.epoch) as epoch,
    count(distinct tokens.token) as tokens
from changes
inner join {{ ref('stg_customer_tokens') }} as tokens on changes.token = tokens.token
group by tokens.customer_id
