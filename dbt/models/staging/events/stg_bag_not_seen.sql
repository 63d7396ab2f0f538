{{ staged('bag.not_seen') }}
