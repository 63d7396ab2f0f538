select
    token,
    customer_id,
    epoch
from {{ source('silver', 'links') }}
