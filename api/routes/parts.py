"""The parts of the app that routes work with, and the dependency by which a route gets them."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from api.archive.archives import Archives
from api.auth.basic_auth import BasicAuth
from api.batches.admission import BatchAdmission
from api.dead_letters.desk import Desk
from api.limiter import RateLimiter
from api.limits.quotas import Quotas
from api.links.renewer import LinkRenewer
from api.metrics import ApiMetrics
from api.offers.checking import Offers
from api.publishing.publisher import TaskPublisher
from api.publishing.together import TogetherPublisher
from api.routes.redelivery_limits import RedeliveryLimits
from api.routes.waiting import Waiters
from api.submit.admission import Admission
from api.uploads.gate import UploadGate
from api.view.task_view import TaskView
from common.observability.health import Checks
from common.outbound.addresses import AddressPolicy
from common.settings.schema import ApiSettings


@dataclass(frozen=True)
class AppParts:
    """Made once by `api.app.create_app`, which stores them in `app.state.parts`."""

    settings: ApiSettings
    publisher: TaskPublisher
    view: TaskView
    auth: BasicAuth
    quotas: Quotas
    policy: AddressPolicy
    admission: Admission
    redelivery_limits: RedeliveryLimits
    links: LinkRenewer
    archives: Archives
    offers: Offers
    metrics: ApiMetrics
    readiness: Checks
    uploads: UploadGate
    dead_letters: Desk
    waiters: Waiters
    hook_tests: RateLimiter
    together: TogetherPublisher
    batches: BatchAdmission

    def close(self) -> None:
        """End the threads that make links, that use the bucket, and that read dead letters."""
        self.links.close()
        self.dead_letters.close()
        self.uploads.close()
        self.archives.close()
        self.together.close()


def parts_of(request: Request) -> AppParts:
    return cast(AppParts, request.app.state.parts)


# `async`, as all dependencies here: FastAPI runs other functions in threads.
async def app_parts(request: Request) -> AppParts:
    return parts_of(request)


Parts = Annotated[AppParts, Depends(app_parts)]
