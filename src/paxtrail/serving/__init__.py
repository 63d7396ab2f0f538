"""Readers: the HTTP API, the outbox relay."""
