"""Embeds tokens: their mean and their largest value."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            tokens = pb_utils.get_input_tensor_by_name(request, "TOKENS").as_numpy()
            embedding = np.stack([tokens.mean(axis=-1), tokens.max(axis=-1)], axis=-1)
            tensor = pb_utils.Tensor("EMBEDDING", embedding.astype(np.float32))
            responses.append(pb_utils.InferenceResponse([tensor]))
        return responses
