"""One contract per table: schema, key, owner, personal columns, retention."""
