{{ staged('reservation.segment_changed') }}
