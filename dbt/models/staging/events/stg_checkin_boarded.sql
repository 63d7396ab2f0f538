{{ staged('checkin.boarded') }}
