{{ staged('reservation.passenger_changed') }}
