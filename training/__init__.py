"""Model families behind one protocol: split, tune, fit, evaluate, intervals, card."""
