"""Floor 4: one central core for many layers, whose side cores stay their own."""

from rankfold.sharing._share import SharedCore, share_cores
from rankfold.sharing._shared import shared_cores, unshare_cores

__all__ = ["SharedCore", "share_cores", "shared_cores", "unshare_cores"]
