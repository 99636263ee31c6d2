"""Model repositories on disk: find models, read config.pbtxt, say what is wrong and where.

No pytest, no server. Importing it loads neither protobuf nor tritonclient; reading does.
"""

from __future__ import annotations

from pytest_triton.repository.config_file import ConfigFile, position_of, read_config
from pytest_triton.repository.models import (
    Model,
    Repository,
    RepositoryEmpty,
    RepositoryError,
    RepositoryNotFound,
    RepositoryUnreadable,
    read_repository,
)
from pytest_triton.repository.schema import SchemaUnavailable, model_config_type

__all__ = [
    "ConfigFile",
    "Model",
    "Repository",
    "RepositoryEmpty",
    "RepositoryError",
    "RepositoryNotFound",
    "RepositoryUnreadable",
    "SchemaUnavailable",
    "model_config_type",
    "position_of",
    "read_config",
    "read_repository",
]
