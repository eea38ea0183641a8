"""Train on a folder of X-rays: ``python train.py --data DIR``. The same as ``fracturelib train``."""

from fracturelib.cli import train_main

if __name__ == "__main__":
    raise SystemExit(train_main())
