"""For people who write a store or test a handler: a clock that jumps, builders, and the store contract.

Public and free of any test framework: nothing in here may import pytest.
"""
