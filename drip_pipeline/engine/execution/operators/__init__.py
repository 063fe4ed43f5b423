"""One operator per node type: a function from a group of states to their outcomes.

Operators neither read nor write the database; what they need is in the batch context.
"""

from __future__ import annotations

from collections.abc import Mapping

from drip_pipeline.domain.graph.graph import NodeType
from drip_pipeline.engine.execution.operators.action import act
from drip_pipeline.engine.execution.operators.condition import choose_branch
from drip_pipeline.engine.execution.operators.email import queue_email
from drip_pipeline.engine.execution.operators.exit import end
from drip_pipeline.engine.execution.operators.protocol import Operator
from drip_pipeline.engine.execution.operators.split import assign_variant
from drip_pipeline.engine.execution.operators.trigger import start
from drip_pipeline.engine.execution.operators.wait import wait

OPERATORS: Mapping[NodeType, Operator] = {
    NodeType.TRIGGER: start,
    NodeType.EMAIL: queue_email,
    NodeType.WAIT: wait,
    NodeType.CONDITION: choose_branch,
    NodeType.SPLIT: assign_variant,
    NodeType.ACTION: act,
    NodeType.EXIT: end,
}
