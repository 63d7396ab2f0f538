{{ staged('checkin.no_show') }}
