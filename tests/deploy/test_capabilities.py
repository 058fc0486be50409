"""The capability table, held against every runtime that can be installed: what it says is there works, the rest does not."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import pytest

from lrpc.emit.capabilities import FORMS, LACKS
from lrpc.inspect.conformance.runtimes.job import run_jobs, write_job
from tests.deploy.forms import emitted, of_the_table
from tests.deploy.runtimes import INSTALLABLE, NODE_MODULES, installed

pytestmark = pytest.mark.deploy

emitted = cache(emitted)


def answers(runtime, forms, folder):
    jobs = []
    for index, form in enumerate(forms):
        file = folder / f"{index}.onnx"
        onnx.save(form.model, file)
        jobs.append(write_job(folder / f"job{index}", file, form.feeds))
    return run_jobs(runtime, jobs, NODE_MODULES, timeout=300)


def fault(form, answer):
    """Why a runtime's answer is not that of ONNX Runtime's CPU; "" where it is."""
    if answer.error:
        return answer.error
    for expected, actual in zip(form.expected, answer.outputs.values(), strict=True):
        if expected.shape != actual.shape:
            return f"shape {actual.shape}, not {expected.shape}"
        if expected.dtype != actual.dtype:
            return f"{actual.dtype}, not {expected.dtype}"
        scale = np.abs(expected[np.isfinite(expected)]).max(initial=1e-30)
        if not np.allclose(actual.astype(float), expected.astype(float), rtol=1e-4, atol=1e-5 * scale, equal_nan=True):
            return f"other values: {np.abs(actual.astype(float) - expected.astype(float)).max() / scale:.1e} off"
    return ""


@pytest.mark.parametrize("name", INSTALLABLE)
def test_a_runtime_has_every_form_that_is_emitted_but_for_what_the_table_says(name, tmp_path):
    runtime, forms = installed(name), list(emitted().values())
    assert len(forms) > 100
    found = {
        form.name: fault(form, answer) for form, answer in zip(forms, answers(runtime, forms, tmp_path), strict=True)
    }
    lacked = {form.name for form in forms if LACKS[name].keys() & set(form.rows)}
    assert {key: value for key, value in found.items() if value and key not in lacked} == {}
    assert [key for key in lacked if not found[key]] == []


@pytest.mark.parametrize("name", INSTALLABLE)
def test_a_runtime_lacks_what_the_table_says_and_nothing_else_of_it(name, tmp_path):
    runtime, forms = installed(name), of_the_table()
    assert list(forms) == list(FORMS)
    found = dict(zip(forms, answers(runtime, forms.values(), tmp_path), strict=True))
    lacking = {row: fault(forms[row], answer) for row, answer in found.items()}
    print(name, {row: why[:90] for row, why in lacking.items() if why})
    assert [row for row, why in lacking.items() if why] == [row for row in FORMS if row in LACKS[name]]


def test_a_model_of_a_row_is_of_that_row():
    for row, form in of_the_table().items():
        assert row in form.rows
