"""How learning rates change in the course of a stage of training."""

LANGUAGE_RATE = 2e-3
ANSWER_RATE = 0.6  # of these rates in the answer stage, whose first minutes undo what vision learnt otherwise
VISION_RATE = 1.5e-3  # in the vision stage
VISION_SHARE = 0.7  # of that rate in the answer stage, ...
FROZEN = 0.05  # ... after this share of the stage, in which the vision transformer is frozen
MERGER_FIRST = 0.08  # share of the vision stage that adapts a pretrained model to new heads, blocks frozen
WARM_UP, DECAY_FROM = 0.02, 0.15  # shares of a stage: the rate rises until the first and falls after the second


def rate_at(share: float) -> float:
    """Factor on the learning rate after `share` of a stage: linear warm-up, constant, linear decay to a fiftieth."""
    if share < WARM_UP:
        return max(share / WARM_UP, 0.01)
    return 1.0 if share < DECAY_FROM else max(0.02, (1 - share) / (1 - DECAY_FROM))


def rates_at(share: float, dense: bool) -> tuple[float, float]:
    """The rates of the vision transformer and of the language model after `share` of a stage; `dense`: of vision's."""
    factor = rate_at(share)
    if dense:
        return VISION_RATE * factor, LANGUAGE_RATE * factor
    vision = 0.0 if share < FROZEN else VISION_RATE * VISION_SHARE * ANSWER_RATE
    return vision * factor, LANGUAGE_RATE * ANSWER_RATE * factor
