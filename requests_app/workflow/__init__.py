"""The workflow: the one table of moves, and the only writers of status, history and grants (DESIGN §6)."""

from .asking import asks_the_same, new_request, snapshot
from .grants import Typed, may_reissue, reissue, send_again
from .moves import add_business_days, correct, expire_overdue, file, move, next_protocol
from .rules import MOVES, NEEDS_REASON, WRITE_A_REASON, MoveRefusedError, Role, can_be_read, may

__all__ = [
    "MOVES",
    "NEEDS_REASON",
    "WRITE_A_REASON",
    "MoveRefusedError",
    "Role",
    "Typed",
    "add_business_days",
    "asks_the_same",
    "can_be_read",
    "correct",
    "expire_overdue",
    "file",
    "may",
    "may_reissue",
    "move",
    "new_request",
    "next_protocol",
    "reissue",
    "send_again",
    "snapshot",
]
