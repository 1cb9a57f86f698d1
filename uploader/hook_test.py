"""Sends a signed example to a receiver, once: a user waits for what comes of it."""

from common.jobs.handler import JobContext
from common.jobs.outcome import Deferred, Done, Outcome
from common.tasks.messages import HookTest, HookTestCallback
from uploader.callback_sender import CallbackSender
from uploader.places import callback_claim, run_id


class HookTester:
    """Reports the try as any other. Whatever comes of it, there is no second one."""

    def __init__(self, sender: CallbackSender):
        self._sender = sender

    def run(self, test: HookTest, context: JobContext) -> Outcome:
        """Posts the example. Raises only what `context.check` raises."""
        claim = callback_claim(test)
        if not context.take_place(claim):
            return Deferred(claim)
        context.leave_slot()
        body = HookTestCallback(task_uuid=test.test_uuid, timestamp=test.requested_at).to_bytes()
        callback_try = self._sender.post(test.hook_url, run_id(test), body, 1, context.check)
        return Done((self._sender.delivery_record(test, callback_try, None),))
