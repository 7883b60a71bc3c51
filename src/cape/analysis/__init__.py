"""What could go wrong in what was locked or unpacked: missing libraries, and parts that cannot work.

Owns checks from facts to reports. Repairs, and asking anybody, belong to operations.
"""
