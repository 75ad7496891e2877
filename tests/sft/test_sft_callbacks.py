"""What watches a training."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rmlab.errors import RmlabError
from rmlab.sft.callbacks import Evaluate, Watch

STATE = SimpleNamespace(global_step=3, max_steps=9)


@pytest.mark.parametrize("logs", [{"loss": float("nan")}, {"eval_loss": float("inf")}])
def test_a_loss_that_is_no_number_stops_at_once(logs):
    watch = Watch(lambda *_: None)
    watch.on_log(None, STATE, None, {"loss": 1.0, "learning_rate": 1e-3})
    with pytest.raises(RmlabError, match="not finite at step 3"):
        watch.on_log(None, STATE, None, logs)


@pytest.mark.parametrize(("an_epoch", "every", "due"), [(3, None, True), (4, None, False), (4, 3, True)])
def test_evaluation_is_due_at_epochs_ends_and_every_so_many_steps(an_epoch, every, due):
    control = SimpleNamespace(should_evaluate=False)
    Evaluate(an_epoch, every).on_step_end(None, STATE, control)
    assert control.should_evaluate == due
