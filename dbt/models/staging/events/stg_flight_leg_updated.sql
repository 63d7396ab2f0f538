{{ staged('flight.leg_updated') }}
