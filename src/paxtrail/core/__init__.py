"""The airline's rules in plain Python: no input, no output, no clock, no chance."""
