"""The airline that feeds demo, tests and benchmarks: real flights, synthetic customers, native messages, expected answers."""
