"""
Families of models, from a seed: grids, aliased grids, chains and factorised grids.

=============  ==================  ===========================================================
``G5``-``G30``  side * side states  five actions; a noisy reading of the position, and an outcome
``alias10``     side * side states  the position is seen only as one of eight noisy colours
``chain10``     [side * side, 4, 2]  the two-cue task of pymdp's "epistemic chaining" demo
``xy20``        [side, side]         the grid with a factor per axis, three actions each
=============  ==================  ===========================================================

In pymdp's layout a grid of 20 by 20 takes 7.7 MB, of 30 by 30 38.9 MB, nearly all of it
transitions; here they are kept as successors until somebody asks for the whole array.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents.model import GenerativeModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.optimizer.agents.model import Floats, Ints

STAY, UP, DOWN, LEFT, RIGHT = range(5)
_MOVES: Final = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
_COLOURS: Final = 8
_CUES: Final = 4

NOTHING, REWARD, SHOCK = range(3)
OUTCOME_PREFERENCES: Final = (0.0, 2.0, -3.0)

SMALLEST_SIDE, LARGEST_SIDE = 3, 100


def grid(side: int, seed: int, *, noise: float = 0.2) -> GenerativeModel:
    """
    Return a grid world with a reward in one cell and shocks in some.

    Args:
        side: Cells per side.
        seed: Where the reward and the shocks are.
        noise: How often a neighbouring cell is read as the position.
    """
    random = np.random.default_rng([seed, side, 1])
    goal, shocks = _places(side, random)
    return GenerativeModel(
        likelihoods=(_position_reading(side, noise), _outcome(side * side, goal, shocks)),
        transitions=(moves(side),),
        preferences=(-0.25 * _distances(side, goal), np.array(OUTCOME_PREFERENCES)),
        priors=(_uniform(side * side),),
    )


def aliased(side: int, seed: int, *, noise: float = 0.1) -> GenerativeModel:
    """Return a grid world whose cells look alike: a cell shows its colour, one of eight."""
    random = np.random.default_rng([seed, side, 2])
    cells = side * side
    goal, shocks = _places(side, random)
    colours = np.full((_COLOURS, cells), noise / (_COLOURS - 1))
    colours[random.integers(_COLOURS, size=cells), np.arange(cells)] = 1 - noise
    return GenerativeModel(
        likelihoods=(colours, _outcome(cells, goal, shocks)),
        transitions=(moves(side),),
        preferences=(random.normal(0, 0.5, _COLOURS), np.array(OUTCOME_PREFERENCES)),
        priors=(_uniform(cells),),
    )


def chain(side: int, seed: int) -> GenerativeModel:
    """
    Return the two-cue task: a first cue tells where the second is, which tells the reward's side.

    Factors: position, where the second cue is (4), which of two cells rewards (2). Modalities:
    position, first cue (nothing or 4), second cue (nothing or 2), outcome. After the demo
    "epistemic chaining" of pymdp (Heins et al. 2022); positions come from the seed, and a
    preference for being near the first cue replaces the demo's longer policies.
    """
    random = np.random.default_rng([seed, side, 3])
    cells = side * side
    first, *rest = (int(cell) for cell in random.choice(cells, size=3 + _CUES, replace=False))
    second_cues, rewards = rest[:_CUES], rest[_CUES:]
    states = (cells, _CUES, 2)
    position = np.broadcast_to(np.eye(cells)[:, :, None, None], (cells, *states)).copy()
    cue, hint, outcome = (np.zeros((size, *states)) for size in (_CUES + 1, 3, 3))
    for array in (cue, hint, outcome):
        array[0] = 1.0
    for where in range(_CUES):
        cue[0, first, where] = 0.0
        cue[where + 1, first, where] = 1.0
        for side_of_reward in range(2):
            hint[0, second_cues[where], where, side_of_reward] = 0.0
            hint[side_of_reward + 1, second_cues[where], where, side_of_reward] = 1.0
    for side_of_reward in range(2):
        for cell, result in zip(rewards, (REWARD, SHOCK), strict=True):
            shown = result if side_of_reward == 0 else REWARD + SHOCK - result
            outcome[:, cell, :, side_of_reward] = 0.0
            outcome[shown, cell, :, side_of_reward] = 1.0
    stays = [np.arange(size)[:, None] for size in states[1:]]
    return GenerativeModel(
        likelihoods=(position, cue, hint, outcome),
        transitions=(moves(side), *stays),
        preferences=(
            -0.1 * _distances(side, first),
            np.zeros(_CUES + 1),
            np.zeros(3),
            np.array(OUTCOME_PREFERENCES),
        ),
        priors=(_uniform(cells), _uniform(_CUES), _uniform(2)),
    )


def factorised(side: int, seed: int, *, noise: float = 0.2) -> GenerativeModel:
    """Return a grid whose two axes are factors of their own, each with back, stay and forth."""
    random = np.random.default_rng([seed, side, 4])
    goal, shocks = _places(side, random)
    reading = _line_reading(side, noise)
    along_x = np.broadcast_to(reading[:, :, None], (side, side, side)).copy()
    along_y = np.broadcast_to(reading[:, None, :], (side, side, side)).copy()
    steps = np.clip(np.arange(side)[:, None] + np.array([-1, 0, 1]), 0, side - 1)
    goal_x, goal_y = divmod(goal, side)
    return GenerativeModel(
        likelihoods=(
            along_x,
            along_y,
            _outcome(side * side, goal, shocks).reshape(3, side, side),
        ),
        transitions=(steps, steps.copy()),
        preferences=(
            -0.25 * abs(np.arange(side, dtype=np.float64) - goal_x),
            -0.25 * abs(np.arange(side, dtype=np.float64) - goal_y),
            np.array(OUTCOME_PREFERENCES),
        ),
        priors=(_uniform(side), _uniform(side)),
    )


FAMILIES: Final[dict[str, Callable[[int, int], GenerativeModel]]] = {
    "G": grid,
    "alias": aliased,
    "chain": chain,
    "xy": factorised,
}


def model_named(name: str, seed: int) -> GenerativeModel:
    """
    Return the model of a name such as ``G20``, ``alias10``, ``chain10`` or ``xy20``.

    Raises:
        AgentError: There is no such family, or the side is not from 3 to 100.
    """
    match = re.fullmatch(r"([A-Za-z]+)(\d+)", name)
    family = FAMILIES.get(match[1]) if match else None
    if match is None or family is None:
        raise AgentError(
            f"there is no model {name!r}",
            hint="Write G, alias, chain or xy and the number of cells per side, as in G20.",
        )
    side = int(match[2])
    if not SMALLEST_SIDE <= side <= LARGEST_SIDE:
        raise AgentError(
            f"{name!r} has a side of {side}",
            hint=f"Give a side from {SMALLEST_SIDE} to {LARGEST_SIDE}.",
        )
    return family(side, seed)


def moves(side: int) -> Ints:
    """Return where stay, up, down, left and right lead; who meets a wall stays."""
    rows, columns = np.divmod(np.arange(side * side), side)
    return np.stack(
        [
            np.clip(rows + down, 0, side - 1) * side + np.clip(columns + right, 0, side - 1)
            for down, right in _MOVES
        ],
        axis=1,
    )


def _position_reading(side: int, noise: float) -> Floats:
    """Return P(reading | cell): a neighbour a quarter of *noise* each, walls read as the cell."""
    cells = side * side
    reading = np.zeros((cells, cells))
    ahead = moves(side)
    now = np.arange(cells)
    np.add.at(reading, (now, now), 1 - noise)
    for move in (UP, DOWN, LEFT, RIGHT):
        np.add.at(reading, (ahead[:, move], now), noise / 4)
    return reading


def _line_reading(side: int, noise: float) -> Floats:
    now = np.arange(side)
    reading = np.zeros((side, side))
    np.add.at(reading, (now, now), 1 - noise)
    for step in (-1, 1):
        np.add.at(reading, (np.clip(now + step, 0, side - 1), now), noise / 2)
    return reading


def _outcome(cells: int, goal: int, shocks: Ints) -> Floats:
    outcome = np.zeros((3, cells))
    outcome[NOTHING] = 1.0
    for cell, what in ((goal, REWARD), *((int(shock), SHOCK) for shock in shocks)):
        outcome[:, cell] = 0.0
        outcome[NOTHING, cell], outcome[what, cell] = 0.1, 0.9
    return outcome


def _places(side: int, random: np.random.Generator) -> tuple[int, Ints]:
    goal, *shocks = random.choice(side * side, size=1 + max(1, side * side // 50), replace=False)
    return int(goal), np.array(shocks)


def _distances(side: int, cell: int) -> Floats:
    rows, columns = np.divmod(np.arange(side * side), side)
    row, column = divmod(cell, side)
    return np.asarray(abs(rows - row) + abs(columns - column), dtype=np.float64)


def _uniform(count: int) -> Floats:
    return np.full(count, 1 / count)
