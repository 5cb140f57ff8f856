"""Files, interrupts and attacks that the package is tried with: bad luck and bad will, by kind.

- `surfaces`: what reads something of others, each with a small valid input and how it is called.
- `mutations`: what may be wrong with an input, by the kind of file.
- `engine`: a process forked for each input, with limits on memory and time, and what became of it.
- `interrupts`: the `commands` that write, stopped before a file event or at a moment by one of
  `stops`, and called again; `servers` are what they need beside them, `left` what they leave.
- `attacks`: folders that lead elsewhere, code in checkpoints, hostile browsers, commands at once.

A new reader is tried by every mutation of its files once it is a surface, a new mutation on every
surface; both are one decorated function. `tests/fire/test_*.py` try a sample, and
`python -m benchmarks.fire` as many as there is time for.
"""
