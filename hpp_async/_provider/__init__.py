"""A model of the provider: sessions, consumers, faults and answers. `testing` and `simulator` are built on it."""
