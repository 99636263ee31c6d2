"""Tokenizes a text: the length of each of its words, padded with zeros."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            texts = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy()
            lengths = [[len(word) for word in row[0].split()] or [0] for row in texts]
            tokens = np.zeros((len(lengths), max(map(len, lengths))), dtype=np.int32)
            for row, values in zip(tokens, lengths, strict=True):
                row[: len(values)] = values
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("TOKENS", tokens)]))
        return responses
