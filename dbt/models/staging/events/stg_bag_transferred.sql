{{ staged('bag.transferred') }}
