"""Read the condition of a selection from text: `drip enroll --where` and the job's field."""

from __future__ import annotations

import json

from pydantic import ValidationError

from drip_pipeline.domain.conditions.conditions import Condition
from drip_pipeline.domain.definition.problems import from_validation
from drip_pipeline.engine.enrollment.audience import Matching


def matching(text: str, named: str) -> Matching:
    """Return the selection of contacts that match a condition, written as in a campaign file.

    Raises ValueError with a sentence; `named` is what the text is called there, such as --where.
    """
    try:
        return Matching(Condition.model_validate(json.loads(text)))
    except json.JSONDecodeError as error:
        raise ValueError(f"{named} is not JSON: {error.msg} (at {error.pos})") from None
    except ValidationError as error:
        problems = from_validation(error, node_id=None, where=named, model=Condition)
        raise ValueError("; ".join(problem.message for problem in problems)) from None
    except (ValueError, RecursionError):
        raise ValueError(f"{named} is nested too deep, or has too long a number") from None
