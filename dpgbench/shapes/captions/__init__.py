"""Words for scenes: captions of several lengths, their sentences and vocabulary."""
