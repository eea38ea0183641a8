"""fracturelib: transfer learning on radiographs, taught and judged honestly.

Importing the package is cheap and has no side effects; import what you need from its modules, for example
``from fracturelib.catalog import read_catalog``.
"""

__version__ = "0.2.0.dev0"
