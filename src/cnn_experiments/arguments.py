"""The error of an argument of a constructor: data, so that a setting can be named that it came from."""


class ArgumentError(ValueError):
    """An argument that a constructor does not accept.

    Args:
        name: the parameter.
        value: what it got.
        problem: what is wrong and what is allowed, such as `must be one of none, batch`.
        suggestion: what may have been meant.
    """

    def __init__(self, name: str, value: object, problem: str, suggestion: str | None = None) -> None:
        self.name = name
        self.value = value
        self.problem = problem
        self.suggestion = suggestion
        typed = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        super().__init__(f"{name}={typed}: {problem}" + (f"; did you mean {suggestion}?" if suggestion else ""))
