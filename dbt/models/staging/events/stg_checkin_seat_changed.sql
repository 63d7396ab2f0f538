{{ staged('checkin.seat_changed') }}
