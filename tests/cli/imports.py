"""Imports everything that commands import, for the process that `tests.cli.forking` forks."""

from __future__ import annotations

import gc
import pkgutil
from contextlib import suppress
from importlib import import_module
from weakref import finalize

import anexa

LIBRARIES = ["matplotlib.figure", "matplotlib.backends.backend_agg", "PIL.JpegImagePlugin", "gguf"]
LIBRARIES += ["tensorboardX", "typer._adapters", "pydantic.networks"]
LEFT_OUT = {"anexa.__main__", "anexa.model.architectures.modeling_microgpt"}  # transformers' own

OURS = {module.name for module in pkgutil.walk_packages(anexa.__path__, "anexa.")} - LEFT_OUT
for name in [*LIBRARIES, *sorted(OURS), "tests.cli.forking"]:
    with suppress(ImportError):  # of a package that is not installed
        import_module(name)
for finalizer in finalize._registry:  # type: ignore[attr-defined]
    finalizer.atexit = False  # PyTorch's would take a fork longer than most commands take
gc.collect()
gc.freeze()  # else the first collection of each fork would copy every page
