"""The data of the benchmarks, with known truth."""
