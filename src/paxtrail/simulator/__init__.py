"""The airline that feeds Paxtrail in demos, tests and benchmarks: real flights, made-up people, native messages.

Nothing here imports core, folds, views or decoders: the expected answers must not share a fault with what they check.
"""
