"""Speed, memory and quality of mpop, beside other programs where there are any, each pair measured in one run.

    python -m benchmarks                        what there is
    python -m benchmarks NAME [options]         one
    python -m benchmarks speed [--quick]        a group, one after the other, so `peers`, `quality` and `all`

To add one, write a module in the folder of its group and a line in `registry.py`. Results and how they were had:
docs/benchmarks.md.
"""
