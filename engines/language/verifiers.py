"""Reward functions: prompt, response and the right answer in, a number out (None where it cannot be scored).

`exact_match` and `numeric_match` need nothing; `math_verify_match` needs the optional package `math-verify`;
`load_reward` also takes a function of the user's own as `module:function`. That runs code named by whoever fills in
the form: right on one's own machine, never to be allowed on a hosted demo.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import re
from collections.abc import Callable

from engines.contract import Refusal

Reward = Callable[[str, str, str], float | None]
"""`reward(prompt, response, answer)`: a finite number, or None where the response cannot be scored."""

ENTRY_POINT = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")
_NUMBER = re.compile(r"-?\d[\d,]*\.?\d*")


def exact_match(prompt: str, response: str, answer: str) -> float:
    """1 where the response, up to its end mark, is the answer."""
    return float(response == answer)


def numeric_match(prompt: str, response: str, answer: str) -> float:
    """1 where the last number in the response equals the answer's last number (as in grade-school problems)."""
    found, wanted = _last_number(response), _last_number(answer)
    return float(found is not None and wanted is not None and math.isclose(found, wanted, rel_tol=1e-9))


def _last_number(text: str) -> float | None:
    numbers = _NUMBER.findall(text)
    return float(numbers[-1].replace(",", "")) if numbers else None


def math_verify_match(prompt: str, response: str, answer: str) -> float | None:
    """1 where `math-verify` finds both expressions equal; None where it cannot read the answer."""
    from math_verify import parse, verify

    gold = parse(answer if "$" in answer or "\\boxed" in answer else f"${answer}$")
    return float(verify(gold, parse(response))) if gold else None


BUILT_IN: dict[str, Reward] = {
    "exact": exact_match,
    "number": numeric_match,
    "math-verify": math_verify_match,
}


def check_reward(name: str, field: str) -> None:
    """Cheap check of a reward's name, without running any of its code; raises `Refusal`."""
    if name in BUILT_IN:
        if name == "math-verify" and importlib.util.find_spec("math_verify") is None:
            raise Refusal(
                field, f"{field} math-verify needs a package that is not installed: pip install math-verify."
            )
        return
    if not ENTRY_POINT.match(name):
        known = ", ".join(BUILT_IN)
        raise Refusal(field, f"{field} must be one of {known}, or module:function; got {name!r}.")
    top = name.split(":")[0].split(".")[0]
    try:
        known_module = importlib.util.find_spec(top) is not None
    except (ValueError, ImportError):
        known_module = False
    if not known_module:
        raise Refusal(
            field,
            f"{field} names the module {top!r}, which Python does not find here; install it or fix the name.",
        )


def load_reward(name: str, field: str = "reward") -> Reward:
    """The reward function of that name; raises `Refusal` with one sentence where it cannot be had."""
    check_reward(name, field)
    if name in BUILT_IN:
        return BUILT_IN[name]
    module_name, function_name = name.split(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the user's module may fail in any way; the cause is kept
        raise Refusal(
            field, f"{field} {name}: importing {module_name} failed with {_brief(error)}."
        ) from error
    function = getattr(module, function_name, None)
    if function is None:
        raise Refusal(field, f"{field} {name}: {module_name} has no {function_name}.")
    if not callable(function):
        raise Refusal(field, f"{field} {name}: {function_name} is no function.")
    return _guarded(function, name, field)


def _guarded(function: Callable[..., object], name: str, field: str) -> Reward:
    def reward(prompt: str, response: str, answer: str) -> float | None:
        try:
            value = function(prompt, response, answer)
            number = None if value is None else float(value)  # type: ignore[arg-type]
        except Exception as error:  # the user's function may fail in any way; the cause is kept
            raise Refusal(
                field, f"{field} {name} failed on the response {response[:40]!r}: {_brief(error)}."
            ) from error
        if number is not None and not math.isfinite(number):
            raise Refusal(
                field,
                f"{field} {name} must return a finite number or None; got {number} for {response[:40]!r}.",
            )
        return number

    return reward


def _brief(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__
