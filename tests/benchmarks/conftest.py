"""Benchmarks are run as modules: pytest neither imports them nor looks for examples in them."""

collect_ignore_glob = ["bench_*.py", "candidate*.py", "state_*.py"]
