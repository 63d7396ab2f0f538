{{ staged('booking.consent_changed') }}
