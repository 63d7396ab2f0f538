{{ staged('contact.received') }}
