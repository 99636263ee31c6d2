"""Reads the code of python models: which devices it takes, and whether it can be imported.

The code is parsed and never run. `facts` is the table of what libraries do, `values` what an
expression may be, `reading` follows the values through the code, `uses` draws the conclusions.
"""
