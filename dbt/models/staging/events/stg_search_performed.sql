{{ staged('search.performed') }}
