{{ staged('loyalty.account_updated') }}
