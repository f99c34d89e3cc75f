"""The workflow: the one table of moves, and the only writers of status, history and grants (DESIGN §6)."""

from ..calendar import add_business_days
from .accesses import (
    GRANT_MOVES,
    GRANT_NEEDS_REASON,
    WRITE_WHY,
    GrantRole,
    end_asked,
    expire_ended,
    grant_moves_of,
    kept_status,
    move_grant,
    set_end,
    why_not_decide,
)
from .asking import asks_the_same, new_request, snapshot
from .grants import Typed, may_reissue, reissue, send_again
from .moves import CHANGED_MEANWHILE, correct, expire_overdue, file, move, next_protocol
from .notes import EMPTY_NOTE, add_note, may_note, notes_for
from .rules import (
    MOVES,
    NEEDS_REASON,
    UNFIT_REASON,
    WRITE_A_REASON,
    MoveRefusedError,
    Role,
    can_be_read,
    is_analyst,
    may,
    why_no_analyst,
)

__all__ = [
    "CHANGED_MEANWHILE",
    "EMPTY_NOTE",
    "GRANT_MOVES",
    "GRANT_NEEDS_REASON",
    "MOVES",
    "NEEDS_REASON",
    "UNFIT_REASON",
    "WRITE_A_REASON",
    "WRITE_WHY",
    "GrantRole",
    "MoveRefusedError",
    "Role",
    "Typed",
    "add_business_days",
    "add_note",
    "asks_the_same",
    "can_be_read",
    "correct",
    "end_asked",
    "expire_ended",
    "expire_overdue",
    "file",
    "grant_moves_of",
    "is_analyst",
    "kept_status",
    "may",
    "may_note",
    "may_reissue",
    "move",
    "move_grant",
    "new_request",
    "next_protocol",
    "notes_for",
    "reissue",
    "send_again",
    "set_end",
    "snapshot",
    "why_no_analyst",
    "why_not_decide",
]
