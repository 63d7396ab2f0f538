{#- What is remembered of each token, in the order in which folds choose: events go when they are past their time, this stays. -#}
{% set word = 'r bigint, t bigint, s bigint, a bigint, i string, v string' -%}
select
    key as token,
    epoch,
    {{ attribute('tier', word) }} as tier,
    {{ attribute('member_since', word) }} as member_since,
    aggregate({{ attribute('searches', 'array<struct<d: string, n: bigint>>') }}, 0L, (total, day) -> total + day.n) as searches
from {{ source('silver', 'states') }}
where entity = 'profile'
