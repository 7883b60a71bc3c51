"""Revenue by region, computed by the pandas of the environment."""

import os
import sys

import pandas

frame = pandas.read_csv(os.path.join(os.environ["HANDBOOK_NOTES"], "metrics.csv"))
total = frame.groupby("region")["revenue"].sum()
print(" ".join(f"{region}={amount}" for region, amount in total.items()))
print(f"python {sys.version.split()[0]}, pandas {pandas.__version__}", file=sys.stderr)
