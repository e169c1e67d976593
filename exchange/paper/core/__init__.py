"""The account of the paper exchange as pure state: commands and ticks in, events out. No I/O, clock or randomness."""
