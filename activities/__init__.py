"""Everything that touches the world: thin classes over database and exchange, their clients injected by workers."""
