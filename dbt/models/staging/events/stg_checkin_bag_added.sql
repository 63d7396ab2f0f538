{{ staged('checkin.bag_added') }}
