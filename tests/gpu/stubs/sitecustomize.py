"""For a machine with a GPU and without PyAV, pillow-heif or pypdfium2: put this folder on PYTHONPATH, and empty modules
stand in for those that are missing, so that the package can be imported. Clips of these tests are animated WebPs, which
Pillow reads."""

import importlib.abc
import importlib.machinery
import sys
import types
from unittest.mock import MagicMock

PACKAGES = ("av", "pillow_heif", "pypdfium2")
MISSING = {name for name in PACKAGES if importlib.machinery.PathFinder.find_spec(name) is None}


class Empty(types.ModuleType):
    """A module in which every name can be found: errors are exceptions, everything else does nothing."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        value = type(name, (Exception,), {}) if name.endswith("Error") else MagicMock(name=name)
        setattr(self, name, value)
        return value


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in MISSING:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return Empty(spec.name)

    def exec_module(self, module):
        """Nothing is in it."""


if MISSING:
    sys.meta_path.append(Finder())
