"""Pure core: values, decisions and arithmetic. Imports nothing that touches the world."""
