"""Speed, memory and quality of mpop beside other programs, each pair measured in one run on one machine.

`python -m benchmarks` runs all; `python -m benchmarks.reconstruction` and `.projection` run one. `--quick`
takes a small part of the data. Results and how they were had: docs/benchmarks.md.
"""
