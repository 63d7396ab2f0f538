{{ staged('reservation.order_changed') }}
