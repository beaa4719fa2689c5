"""Commands that do one run alone."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from cnn_experiments.config.command_line import setting


@pytest.mark.parametrize(
    "value",
    [
        "outputs/a/b",
        "with space",
        "a=b,c",
        "it's",
        r"back\slash",
        r"at the end\\",
        r"\'",
        r"\\'x'",
        "{a: [b]}",
        "a+b (c)",
    ],
)
def test_a_value_arrives_as_it_is(value: str) -> None:
    override = OverridesParser.create().parse_override(setting("hydra.run.dir", value))
    assert (override.key_or_group, str(override.value())) == ("hydra.run.dir", value)
    assert not override.is_sweep_override()
