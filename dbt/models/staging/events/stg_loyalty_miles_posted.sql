{{ staged('loyalty.miles_posted') }}
