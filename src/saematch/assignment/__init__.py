"""Optimal assignments of inner products, with a proof; it knows vectors and offsets, not SAEs."""

from saematch.assignment.kept import Scores as Scores
from saematch.assignment.neighbours import Neighbours as Neighbours
from saematch.assignment.neighbours import neighbours as neighbours
from saematch.assignment.result import Assignment as Assignment
from saematch.assignment.result import Kind as Kind
from saematch.assignment.solve import assign as assign
