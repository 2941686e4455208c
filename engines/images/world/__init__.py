"""The embedded world: 64x64 scenes of coloured shapes, their captions, an exact checker and an exact truth.

NumPy and SciPy only. The specification is section 6.1 of the ReNO notes; the numbers it promises are tested in
`tests/engines/images/test_world_*.py`."""

from engines.images.world.captions import (
    COLORS,
    RELATIONS,
    SHAPES,
    TASKS,
    Caption,
    Item,
    all_captions,
    caption_of,
    hard_negatives,
    held_out,
    relation_variants,
    training_captions,
)
from engines.images.world.checker import Found, Part, Verdict, as_scene, check, check_many, judge, look
from engines.images.world.prompts import VOCABULARY, WORDS, Explanation, explain_prompt
from engines.images.world.render import render, to_uint8
from engines.images.world.scenes import Scenes, draw_captions, draw_scenes, mirror_captions, mirror_scenes
from engines.images.world.truth import truth_table

__all__ = [
    "COLORS",
    "RELATIONS",
    "SHAPES",
    "TASKS",
    "VOCABULARY",
    "WORDS",
    "Caption",
    "Explanation",
    "Found",
    "Item",
    "Part",
    "Scenes",
    "Verdict",
    "all_captions",
    "as_scene",
    "caption_of",
    "check",
    "check_many",
    "draw_captions",
    "draw_scenes",
    "explain_prompt",
    "hard_negatives",
    "held_out",
    "judge",
    "look",
    "mirror_captions",
    "mirror_scenes",
    "relation_variants",
    "render",
    "to_uint8",
    "training_captions",
    "truth_table",
]
