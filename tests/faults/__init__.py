"""What is on the disk after each step of a command that failed there, or was killed there.

`python -m tests.faults --all` goes through every step; the tests take one of each kind.
"""
