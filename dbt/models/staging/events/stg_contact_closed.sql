{{ staged('contact.closed') }}
