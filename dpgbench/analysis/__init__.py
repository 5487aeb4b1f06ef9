"""From stored runs to numbers: ranks, comparisons, what may be compared. Writes nothing."""
