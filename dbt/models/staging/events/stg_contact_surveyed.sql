{{ staged('contact.surveyed') }}
