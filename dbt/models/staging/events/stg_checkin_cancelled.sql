{{ staged('checkin.cancelled') }}
