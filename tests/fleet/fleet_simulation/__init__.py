"""A seeded simulation of a fleet over a model of PostgreSQL: what the real one shows too rarely."""
