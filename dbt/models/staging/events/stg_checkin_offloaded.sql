{{ staged('checkin.offloaded') }}
