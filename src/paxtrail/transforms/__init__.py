"""The shared Spark columns per concept: DataFrame in, DataFrame out; nothing here reads, writes or collects."""
