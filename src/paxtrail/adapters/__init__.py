"""Every conversation with the outside: lake, Kafka, PostgreSQL, vault, Spark."""
