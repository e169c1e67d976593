"""One file per durable process. Workflows decide and wait; activities touch the world."""
