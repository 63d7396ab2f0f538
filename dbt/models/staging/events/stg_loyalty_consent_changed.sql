{{ staged('loyalty.consent_changed') }}
