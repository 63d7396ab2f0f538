{{ staged('bag.processed') }}
