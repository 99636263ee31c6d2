"""Corrects a text: 'teh' becomes 'the'."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            texts = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy()
            fixed = np.array([[t[0].replace(b"teh", b"the")] for t in texts], dtype=object)
            tensor = pb_utils.Tensor("TEXT_CORRECTED", fixed)
            responses.append(pb_utils.InferenceResponse([tensor]))
        return responses
