{{ staged('booking.step_reached') }}
