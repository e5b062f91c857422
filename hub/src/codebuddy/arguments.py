"""What is wrong with the arguments of a call, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

__all__ = ["problems_of"]

_MAX_PROBLEMS: Final = 10

# Names and contexts of errors as pydantic documents them; one that is not here keeps pydantic's own words.
_SENTENCES: Final = {
    "missing": "this is needed",
    "string_type": "this must be a text",
    "string_too_short": "this must have at least {min_length} characters",
    "string_too_long": "this may have at most {max_length} characters",
    "int_type": "this must be a whole number",
    "int_from_float": "this must be a whole number",
    "float_type": "this must be a number",
    "finite_number": "this must be a number",
    "bool_type": "this must be true or false",
    "list_type": "this must be a list",
    "dict_type": "this must be an object",
    "model_type": "this must be an object",
    "too_short": "this must have at least {min_length} of them",
    "too_long": "this may have at most {max_length} of them",
    "greater_than": "this must be more than {gt}",
    "greater_than_equal": "this must be at least {ge}",
    "less_than": "this must be less than {lt}",
    "less_than_equal": "this may be at most {le}",
    "literal_error": "this must be one of {expected}",
    "value_error": "{error}",
}


def problems_of(error: ValidationError, model: type[BaseModel], tool: str) -> str:
    """Say what is wrong with each argument, and for an unknown one which are accepted where it stands.

    Args:
        error: what checking them against the model gave.
        model: the tool's arguments.
        tool: its name.
    """
    problems = [_problem(item, model, tool) for item in error.errors(include_url=False, include_input=False)]
    more = len(problems) - _MAX_PROBLEMS
    return "; ".join(problems[:_MAX_PROBLEMS]) + (f"; and {more} more" if more > 0 else "") + "."


def _problem(item: Any, model: type[BaseModel], tool: str) -> str:
    *around, name = [str(part)[:100] for part in item["loc"]] or [""]
    where = ".".join((*around, name))
    if item["type"] == "extra_forbidden":
        holder = _model_at(model, item["loc"][:-1])
        wrong = f"{'.'.join(around)} has no argument {name}" if around else f"{name} is not an argument of {tool}"
        return f"{wrong}; it accepts {', '.join(holder.model_fields)}"
    said = _sentence(item["type"], item.get("ctx", {}), item["msg"]).removesuffix(".")
    return f"{where}: {said}" if where else said


def _sentence(kind: str, context: dict[str, Any], own_words: str) -> str:
    if context.get("min_length") == 1:
        return "this must not be empty"
    sentence = _SENTENCES.get(kind)
    shown = {name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
    return own_words if sentence is None else sentence.format(**shown)


def _model_at(model: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel]:
    """Give the model of the object at a location; the last one on the way that is known."""
    for part in location:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is not None:
            model = next(_models_in(field.annotation), model)
    return model


def _models_in(annotation: Any) -> Any:
    """Give the models that an annotation such as ``list[Edit] | None`` names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
