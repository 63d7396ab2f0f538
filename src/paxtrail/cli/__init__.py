"""The command line: `paxtrail <noun> <verb>`, one module per group of nouns."""
