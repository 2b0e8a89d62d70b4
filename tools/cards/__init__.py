"""The cards of docs/methods, as data: one file for each page."""

from tools.cards._card import Card, Family
from tools.cards._compression import COMPRESSION
from tools.cards._cp import CP
from tools.cards._evidence import Evidence
from tools.cards._integrators import INTEGRATORS
from tools.cards._orthogonal import ORTHOGONAL
from tools.cards._rank_policies import RANK_POLICIES
from tools.cards._tucker import TUCKER

__all__ = ["FAMILIES", "Card", "Evidence", "Family"]

FAMILIES: tuple[Family, ...] = (INTEGRATORS, RANK_POLICIES, COMPRESSION, CP, TUCKER, ORTHOGONAL)
