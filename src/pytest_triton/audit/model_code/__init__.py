"""Reads the code of python models: which devices it takes, and whether it can be imported.

The code is parsed and never run. `facts` is the table of what libraries do with devices, `values`
what an expression may be. `reading` follows the values through the code, in layers: `state`,
`library`, `calls`, `expressions`, `statements`. `uses` draws the conclusions; `importing` says
whether the backend could import and call the code.
"""
