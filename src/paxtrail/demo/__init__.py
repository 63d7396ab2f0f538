"""The demonstration: two days of an airline through the whole platform, measured, and compared with the answer known beforehand."""
