"""The HTTP side of b24pay: `python -m web`. Any number of these processes may run; none of them keeps anything."""
