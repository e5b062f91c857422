"""Counts tokens as models of OpenAI do (o200k), with the npm package ``gpt-tokenizer``, which needs no network."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence

from codebuddy_testing.node import ROOT, node_environment, npm_packages

TOKENIZER = "o200k, gpt-tokenizer 3.4.0"

_PROGRAM = """
const { encode } = require("gpt-tokenizer/encoding/o200k_base");
const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(texts.map((text) => encode(text).length)));
"""


def count_tokens(texts: Sequence[str]) -> list[int]:
    """Return the number of tokens of each text."""
    done = subprocess.run(
        ["node", "-e", _PROGRAM],
        input=json.dumps(list(texts)),
        env=node_environment(),
        cwd=npm_packages(ROOT / "tests/bench/tokenizer"),
        capture_output=True,
        text=True,
        check=True,
    )
    counts: list[int] = json.loads(done.stdout)
    return counts
