"""Ctrl-C and SIGTERM during fit: training ends after the running batch, where a checkpoint can go on exactly."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from litify.errors import SIGTERMException

if TYPE_CHECKING:
    from litify.trainer import Trainer

Handler = Callable[[int, Any], Any]


@contextmanager
def batch_first(trainer: Trainer) -> Iterator[None]:
    """Signals wait for the running batch within; a second one of the same kind does not."""
    if threading.current_thread() is not threading.main_thread():  # only that one gets signals
        yield
        return
    trainer.interrupt_asked = None
    trainer.received_sigterm = False
    with ExitStack() as stack:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            stack.enter_context(_handled(signal.SIGINT, _asking(trainer, _interrupt)))
        # Several processes wait for each other in calls that no Python handler interrupts: there SIGTERM ends each at once.
        if trainer.world_size == 1:
            stack.enter_context(_handled(signal.SIGTERM, _ending(trainer)))
        yield


@contextmanager
def _handled(number: signal.Signals, handler: Handler) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL if before is None else before)


def _asking(trainer: Trainer, leave: Callable[[], NoReturn]) -> Handler:
    def ask(number: int, frame: Any) -> None:
        if trainer.interrupt_asked is leave:
            leave()
        trainer.interrupt_asked = leave

    return ask


def _ending(trainer: Trainer) -> Handler:
    """The handler of SIGTERM; that of the program, if it has one, runs too."""
    ask, owner, before = _asking(trainer, _end), os.getpid(), signal.getsignal(signal.SIGTERM)

    def end(number: int, frame: Any) -> None:
        if os.getpid() != owner:  # a child made by fork, which inherits handlers: it is not training
            signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
            os.kill(os.getpid(), number)
            return
        trainer.received_sigterm = True
        if callable(before):
            before(number, frame)
        ask(number, frame)

    return end


def _interrupt() -> NoReturn:
    raise KeyboardInterrupt


def _end() -> NoReturn:
    raise SIGTERMException
