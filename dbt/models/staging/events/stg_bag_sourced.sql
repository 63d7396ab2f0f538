{{ staged('bag.sourced') }}
