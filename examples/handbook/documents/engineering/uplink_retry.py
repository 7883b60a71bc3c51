"""How a Skerry decides when to send again after the satellite did not answer.

The rule is a compromise between the battery and the customer's patience; the figures come from the trial off
Porto in the winter of 2022.
"""

FIRST_WAIT_S = 40
LONGEST_WAIT_S = 3 * 60 * 60
GROWTH = 1.7
ATTEMPTS_PER_DAY = 60


def wait_before(attempt: int, battery_percent: float) -> float:
    """Seconds to wait before an attempt, counted from 1.

    With less than 20 per cent of battery the wait is four times as long, and the buoy sends only positions.
    """
    wait = min(FIRST_WAIT_S * GROWTH ** (attempt - 1), LONGEST_WAIT_S)
    return wait * 4 if battery_percent < 20 else wait


def may_send(sent_today: int, adrift: bool) -> bool:
    """A buoy that has broken loose ignores the daily limit: finding it is worth an empty battery."""
    return adrift or sent_today < ATTEMPTS_PER_DAY
