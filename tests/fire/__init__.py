"""Files, kills and attacks that the package is tried with: bad luck and bad will, by kind.

- `surfaces`: what reads something of others, each with a small valid input and how it is called.
- `mutations`: what may be wrong with an input, by the kind of file.
- `engine`: a process forked for each input, with limits on memory and time, and what became of it.
- `kills`: commands stopped before their k-th file event, or at a moment, and called again.
- `attacks`: folders that lead elsewhere, code in checkpoints, hostile browsers, commands at once.

A new reader is tried by every mutation of its files once it is a surface, a new mutation on every
surface; both are one decorated function. `tests/fire/test_*.py` try a sample, and
`python -m benchmarks.fire` as many as there is time for.
"""
