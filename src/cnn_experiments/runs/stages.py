"""The table of a network's stages, as it is printed and as the page of a run shows it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cnn_experiments.runs.results import finite_number

STAGE_TABLE_HEADER = ("stage", "layers", "output", "parameters", "share", "multiply-adds", "share")


def stage_rows(
    stages: Sequence[Mapping[str, Any]], parameters: int | None, multiply_adds: int | None
) -> list[list[str]]:
    """Return the cells of the table of stages; what is not known is empty.

    Args:
        stages: as in results.json.
        parameters: of the whole network.
        multiply_adds: of the whole network.
    """
    rows = []
    for stage in stages:
        shape = stage.get("shape")
        output = format_shape(shape) if isinstance(shape, list | tuple) else ""
        costs = ((stage.get("parameters"), parameters), (stage.get("multiply_adds"), multiply_adds))
        shares = [cell for cost, total in costs for cell in _cost_cells(cost, total)]
        rows.append([str(stage.get("name", "")), str(stage.get("layers", "")), output, *shares])
    return rows


def format_shape(sizes: Iterable[object]) -> str:
    """Return the sizes of a tensor: 16x28x28."""
    return "x".join(map(str, sizes))


def format_share(share: float) -> str:
    """Return a share in percent, or a dash for nothing."""
    return f"{share:.1%}" if share else "-"


def _cost_cells(cost: Any, total: int | None) -> tuple[str, str]:
    """Return a cost and its share of the total."""
    value = finite_number(cost)
    if value is None:
        return "", ""
    return f"{value:,.0f}", format_share(value / total) if total else ""
