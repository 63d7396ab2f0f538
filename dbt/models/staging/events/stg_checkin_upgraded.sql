{{ staged('checkin.upgraded') }}
