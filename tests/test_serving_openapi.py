"""Whatever the OpenAPI document allows, and much that it forbids: no answer but those it names, and never a defect."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from serving.app import create_app
from tests.service_world import a_workspace

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))
"""Requests to each address, as many that are allowed as are not."""

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Any]]:
    folder = tmp_path_factory.mktemp("fuzzed")
    workspace = a_workspace(folder, service={"allowed_hosts": ["testserver"]})
    app = create_app(workspace.settings)
    service = app.state.service
    service.versions.refresh()
    document = schemathesis.openapi.from_asgi("/openapi.json", app)
    yield [found.ok() for found in document.get_all_operations()]
    service.log.close()


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_one_that_the_document_names(operations: list[Any], mode: GenerationMode) -> None:
    assert {"/predict_performance", "/predict_virality", "/predict_posting_time"} <= {each.path for each in operations}
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and operation.method == "get":
            continue  # which takes nothing that could be wrong

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS)

        ask()
