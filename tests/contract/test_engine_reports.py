"""What leaves the workbench as one HTML file: every engine's run, whole, on its own, small enough to mail."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re

import pytest
from smoke_run import Smoke

from ui import report

MOST = 5_000_000
"""The bar of a default run, in bytes; the smoke preset, which is shorter, has to keep it too."""


@pytest.fixture(scope="module")
def text(smoke: Smoke) -> str:
    return report.html(smoke.workbench, [smoke.run.id])


def test_a_report_can_be_mailed_and_needs_nothing_else(text: str) -> None:
    assert len(text.encode()) < MOST
    page = text.partition("</style>")[2]
    assert not re.findall(r'\bsrc="(?!data:)([^"]*)"', page)
    assert "<link" not in page


def test_a_report_draws_what_it_has_room_for(text: str) -> None:
    packed = re.search(r'id="wb-figures">([^<]*)<', text)
    assert packed is not None
    drawn = set(json.loads(gzip.decompress(base64.b64decode(packed[1]))))
    assert drawn == set(re.findall(r'data-figure="([^"]*)"', text))
    assert drawn, "each engine draws something"


def test_a_report_tells_each_claim_and_the_command(smoke: Smoke, text: str) -> None:
    assert f"workbench run {smoke.engine.key} --preset smoke" in text
    for claim in smoke.engine.claims:
        assert html.escape(claim.statement) in text
