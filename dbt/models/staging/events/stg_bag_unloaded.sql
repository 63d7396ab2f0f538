{{ staged('bag.unloaded') }}
