"""Tests of text in Markdown."""

import pytest

from cnn_experiments.markdown import escape_markdown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
        ("a|b", r"a\|b"),
        ("a\\|b", r"a\\\|b"),
        ("`rm`", r"\`rm\`"),
        ("[here](http://x)", r"\[here](http://x)"),
        ("![x](http://x)", r"!\[x](http://x)"),
        ("*bold* _it_ ~~gone~~ $x$", r"\*bold\* \_it\_ \~\~gone\~\~ \$x\$"),
        ("lenet_bn at 0.1", "lenet_bn at 0.1"),
        ("[0.7404, 0.9196]", "[0.7404, 0.9196]"),
        ("-0.02 worse", "-0.02 worse"),
        ("- item", r"\- item"),
        ("# heading", r"\# heading"),
        ("1. item", r"1\. item"),
        ("two\nlines\r\n\tand\x0bmore", "two lines and more"),
        ("\x1b[31mred\x9b\u202e\ud800", r"\\x1b\[31mred\\x9b\\u202e\\ud800"),
        ("&lt;", "&amp;lt;"),
    ],
)
def test_text_is_neither_html_nor_formatting_nor_link(text: str, expected: str) -> None:
    assert escape_markdown(text) == expected
