"""What the programs of benchmarks/ share: a stack of their own, load, clients that time, rivals, results with their conditions."""
