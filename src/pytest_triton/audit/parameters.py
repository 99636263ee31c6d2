"""The `parameters` of a config: their values, and where they stand."""

from __future__ import annotations

from pytest_triton.audit.subject import Subject


def parameter(subject: Subject, key: str) -> str:
    """A parameter's string, "" if there is none."""
    parameters = subject.config.parameters
    return parameters[key].string_value if key in parameters else ""


def parameter_fields(subject: Subject, key: str) -> tuple[str, ...]:
    """Where a parameter's value, else the parameter, stands in the text; see `Subject.at`."""
    places = []
    text, positions = subject.text, subject.positions
    for field, offset in positions.items():
        if field.startswith("parameters[") and field.endswith("].key"):
            line = text[offset : offset + len(key) + 40]
            if f'"{key}"' in line or f"'{key}'" in line:
                parameter = field.removesuffix(".key")
                places += [f"{parameter}.value.string_value", f"{parameter}.value", parameter]
    return (*places, "parameters")
