"""How learning rates change in the course of a stage of training."""

LANGUAGE_RATE = 2e-3
ANSWER_RATE = 0.6  # of these rates in the answer stage, whose first minutes undo what vision learnt otherwise
MATRIX_RATE = 3.0  # of that, for the language model's matrices: heads find the next characters of print much sooner
VISION_RATE = 1.5e-3  # in the vision stage
VISION_SHARE = 0.7  # of that rate in the answer stage, ...
FROZEN = 0.05  # ... after this share of the stage, in which the vision transformer is frozen
MERGER_FIRST = 0.08  # share of the vision stage that adapts a pretrained model to new heads, blocks frozen
WARM_UP, DECAY_FROM = 0.02, 0.25  # shares of a stage: the rate rises until the first and falls after the second


def rate_at(share: float) -> float:
    """Factor on the learning rate after `share` of a stage: linear warm-up, constant, linear decay to a fiftieth."""
    if share < WARM_UP:
        return max(share / WARM_UP, 0.01)
    return 1.0 if share < DECAY_FROM else max(0.02, (1 - share) / (1 - DECAY_FROM))


def rates_at(share: float, dense: bool) -> tuple[tuple[float, float], tuple[float, float]]:
    """The rates of Muon and of AdamW after `share` of a stage, each for the vision transformer and the language model.

    `dense`: in the vision stage.
    """
    factor = rate_at(share)
    if dense:
        rates = VISION_RATE * factor, LANGUAGE_RATE * factor
        return rates, rates
    vision = 0.0 if share < FROZEN else VISION_RATE * VISION_SHARE * ANSWER_RATE * factor
    language = LANGUAGE_RATE * ANSWER_RATE * factor
    return (vision, language * MATRIX_RATE), (vision, language)
