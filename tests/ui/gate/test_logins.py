"""Pauses after wrong passwords."""

from qwen2vl_demo.ui.gate.logins import ADDRESS_FACTOR, FIRST_PAUSE, FREE, LONGEST_PAUSE, Logins


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_pause_doubles_and_ends_with_the_right_password() -> None:
    clock = Clock()
    logins = Logins(clock)
    for _ in range(FREE):
        assert logins.wait("1.2.3.4", "ann") == 0
        logins.tried("1.2.3.4", "ann", right=False)
    assert logins.wait("1.2.3.4", "ann") == FIRST_PAUSE
    clock.now += FIRST_PAUSE
    assert logins.wait("1.2.3.4", "ann") == 0
    logins.tried("1.2.3.4", "ann", right=False)
    assert logins.wait("1.2.3.4", "ann") == 2 * FIRST_PAUSE
    clock.now += LONGEST_PAUSE
    logins.tried("1.2.3.4", "ann", right=True)
    logins.tried("1.2.3.4", "ann", right=False)
    assert logins.wait("1.2.3.4", "ann") == 0


def test_others_do_not_wait() -> None:
    """Neither the same name elsewhere, which could lock somebody out, nor another name at the same address."""
    logins = Logins(Clock())
    for _ in range(FREE + 3):
        logins.tried("1.2.3.4", "ann", right=False)
    assert logins.wait("1.2.3.4", "ann") > 0
    assert logins.wait("5.6.7.8", "ann") == logins.wait("1.2.3.4", "bob") == 0


def test_an_address_that_tries_many_names_waits() -> None:
    logins = Logins(Clock())
    for number in range(FREE * ADDRESS_FACTOR):
        logins.tried("1.2.3.4", f"name {number}", right=False)
    assert logins.wait("1.2.3.4", "another") > 0


def test_guessing_takes_forever() -> None:
    """A thousand guesses take more than three days, in place of some seconds."""
    clock = Clock()
    logins = Logins(clock)
    started = clock.now
    for _ in range(1000):
        clock.now += logins.wait("1.2.3.4", "ann")
        logins.tried("1.2.3.4", "ann", right=False)
    assert clock.now - started > 3 * 24 * 3600
