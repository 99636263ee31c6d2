"""Ask a running server for an inference: inputs from the model's config, answers as numpy arrays.

Nothing here starts a server or imports pytest. numpy and tritonclient are imported when used.
"""
