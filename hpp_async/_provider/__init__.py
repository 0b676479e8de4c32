"""The provider as a model: sessions, consumers, faults and answers; testing and simulator stand on it."""
