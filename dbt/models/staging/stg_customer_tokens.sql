select
    links.token,
    links.customer_id,
    links.epoch
from {{ source('silver', 'links') }} as links
left anti join {{ source('silver', 'withheld') }} as withheld on links.customer_id = withheld.customer_id
