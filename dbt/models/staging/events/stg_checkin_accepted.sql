{{ staged('checkin.accepted') }}
