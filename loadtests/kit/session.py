"""What one Locust process shares between its users: target, recorder, pools, accounts, follower.

Made when Locust is ready (`events.init`), each part when it is first used; ended when Locust quits.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import gevent
from gevent.event import AsyncResult
from gevent.lock import RLock
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from bundle import BundleLayout, DocumentError, ErrorKind, LoadStep
from bundle.load_notes import MASTER
from loadtests.arrivals import ArrivalKind, parse_arrivals
from loadtests.kit.accounts import PREPARING_AT_ONCE, AccountPool, TxOrder
from loadtests.kit.arrival_queue import ArrivalQueue
from loadtests.kit.calls import CallFailed
from loadtests.kit.collection import settle
from loadtests.kit.endpoints import EndpointPool
from loadtests.kit.follower import BlockFollower
from loadtests.kit.generator_watch import GeneratorWatch
from loadtests.kit.grpc_pool import GrpcEndpoint, GrpcPool
from loadtests.kit.http import HttpEndpoint, HttpPool
from loadtests.kit.master import Master
from loadtests.kit.notes import Notes
from loadtests.kit.open_loads import OpenLoads
from loadtests.kit.options import add_options
from loadtests.kit.origins import Origins
from loadtests.kit.pinning import PinWish, pin
from loadtests.kit.place import Place
from loadtests.kit.recorder import Recorder
from loadtests.kit.statistics import BatchedStatistics
from loadtests.kit.worker import Worker
from loadtests.load_text import ClosedLoad, OpenLoad, ScenarioLoad, parse_loads
from target.errors import TargetError
from target.keys import AccountKey
from target.probe import supports_unordered
from target.query import AccountState, account_state
from target.rpc import RpcClient
from target.target import Node, Target, load_target

T = TypeVar("T")


END_MARGIN_S = 1.0
_ALONE = Place()


def shared_part(make: Callable[[Session], T]) -> property:
    """Return a property that is made once, when first used.

    Making one may ask the network, and meanwhile other users ask for it too: they wait for the first.
    """

    @wraps(make)
    def get(session: Session) -> T:
        with session.parts_lock:
            if make.__name__ not in session.parts:
                session.parts[make.__name__] = make(session)
            return session.parts[make.__name__]  # type: ignore[no-any-return]

    return property(get)


class Session:
    """Everything that users of one process share."""

    def __init__(
        self,
        environment: Environment,
        target: Target,
        recorder: Recorder | None,
        notes: Notes,
        *,
        place: Place = _ALONE,
        worker: Worker | None = None,
    ) -> None:
        """`worker` is the conversation with a Locust master, where there is one."""
        options = environment.parsed_options
        assert options is not None
        self.environment = environment
        self.target = target
        self.recorder = recorder
        self.notes = notes
        self.place = place
        self._worker = worker
        self.seed: int = options.seed
        self._rate_per_user_per_s: float = options.rate_per_user
        self.loads: dict[str, ScenarioLoad] = parse_loads(options.loads)
        self._arrivals: ArrivalKind | None = parse_arrivals(options.arrivals) if options.arrivals else None
        self.watch: GeneratorWatch | None = None
        self.statistics: BatchedStatistics | None = None
        self._tx_order: str = options.tx_order
        self._pipeline_depth: int = options.pipeline_depth
        self._confirm_limit_s: float = options.confirm_limit
        self.start_at_s: float = options.start_at
        self._drain_limit_s: float = options.drain_limit
        self.load_time_s = _load_time(options.load_time, options.run_time)
        self.open_loads = OpenLoads(
            environment,
            place=place,
            seed=self.seed,
            load_time_s=self.load_time_s,
            wait_limit_s=options.wait_limit,
        )
        self._start_at_s: AsyncResult[float] = AsyncResult()
        self._user_count = 0
        self.parts: dict[str, Any] = {}
        self.parts_lock = RLock()
        self._close_lock = RLock()
        self._is_closed = False
        self.ends_at_s = math.inf
        """When schedules end, Unix seconds: a little before Locust does, which kills users in mid-request."""

    def next_draw(self, scenario: str) -> random.Random:
        """Return the random numbers of the next user: the same seed gives the same users the same numbers."""
        self._user_count += 1
        return random.Random(f"{self.seed}/{scenario}/{self.place.user_number(self._user_count)}")

    def rate_per_user_per_s(self, scenario: str) -> float:
        """Return how often each user of a scenario acts, in the closed model."""
        load = self.loads.get(scenario)
        return load.rate_per_user_per_s if isinstance(load, ClosedLoad) else self._rate_per_user_per_s

    def arrival_queue(self, user_class: type[Any]) -> ArrivalQueue | None:
        """Return the arrivals that the users of a class take from; None in the closed model."""
        load = self.loads.get(user_class.scenario)
        if isinstance(load, ClosedLoad):
            return None
        arrivals = load.arrivals if isinstance(load, OpenLoad) else self._arrivals or user_class.arrivals
        return None if arrivals is None else self.open_loads.queue_of(user_class, arrivals)

    @shared_part
    def rpc(self) -> HttpPool:
        return HttpPool([HttpEndpoint(node.name, node.rpc_url) for node in self.target.nodes])

    @shared_part
    def rpc_lanes(self) -> list[HttpPool]:
        """Each node by itself: a pipeline keeps to one, since others learn of its transactions later."""
        return [HttpPool([HttpEndpoint(node.name, node.rpc_url)]) for node in self.target.nodes]

    @shared_part
    def rest(self) -> HttpPool | None:
        """None when the target serves no REST."""
        endpoints = [HttpEndpoint(api.name, api.rest_url) for api in self.target.apis if api.rest_url]
        return HttpPool(endpoints) if endpoints else None

    @shared_part
    def origins(self) -> Origins:
        """Connections of the clients that users have for hosts of their own choice."""
        return Origins(connections_max=10_000)

    @shared_part
    def grpc(self) -> GrpcPool | None:
        """None when the target serves no gRPC."""
        endpoints = [GrpcEndpoint(api.name, api.grpc_address) for api in self.target.apis if api.grpc_address]
        return GrpcPool(endpoints) if endpoints else None

    @shared_part
    def follower(self) -> BlockFollower:
        return BlockFollower(list(self.target.nodes), confirm_limit_s=self._confirm_limit_s)

    @shared_part
    def accounts(self) -> AccountPool:
        """The load accounts. Raises CallFailed when the Target file names none."""
        if self.target.accounts is None:
            raise CallFailed(ErrorKind.NOT_SENT, "the Target file has no [accounts]")
        # Its own share only: the next sequence of an account is known to one process, the one that sends.
        keys = self.place.share(self._account_keys)
        return AccountPool(keys, self.target.chain, self._ask_state, depth=self.tx_depth)

    @property
    def tx_depth(self) -> int:
        """How many transactions in sequence an account may have on their way."""
        return self._pipeline_depth if self.tx_order is TxOrder.PIPELINE else 1

    @shared_part
    def recipients(self) -> list[str]:
        """Addresses that transfers go to: the load accounts themselves, so that no money is used up."""
        return [key.address for key in self._account_keys]

    @shared_part
    def _account_keys(self) -> list[AccountKey]:
        return self.target.accounts.derive() if self.target.accounts else []

    @shared_part
    def subscription_nodes(self) -> EndpointPool[Node]:
        return EndpointPool(self.target.nodes)

    @shared_part
    def tx_order(self) -> TxOrder:
        """How transfers are kept apart; "auto" asks the chain."""
        if self._tx_order != "auto":
            return TxOrder(self._tx_order)
        if self.target.accounts is None:
            return TxOrder.SEQUENCE  # nobody to ask with, and nobody to send
        for client in self._setup_clients:
            try:
                unordered = supports_unordered(client, self.target, self._account_keys[0])
                return TxOrder.UNORDERED if unordered else TxOrder.SEQUENCE
            except TargetError:
                continue
        return TxOrder.SEQUENCE

    @shared_part
    def _setup_clients(self) -> list[RpcClient]:
        return [RpcClient(node.rpc_url, timeout_s=3.0, connections=PREPARING_AT_ONCE + 1) for node in self.target.nodes]

    def _ask_state(self, address: str) -> AccountState | None:
        """Ask the first node that answers. Raises the last node's error when none does."""
        *others, last = self._setup_clients
        for client in others:
            try:
                return account_state(client, address)
            except TargetError:
                continue
        return account_state(last, address)

    def make(self, *parts: str) -> None:
        """Make parts now that would otherwise be made in the middle of the first operation."""
        for part in parts:
            getattr(self, part)

    def begin(self, at_s: float, *, begins_at_s: float | None = None) -> None:
        """Take note that users begin at this Unix time by our clock, which is `begins_at_s` by the master's."""
        late_s = max(0.0, time.time() - at_s)
        self.notes.write(LoadStep.STARTED, begins_at_s=at_s if begins_at_s is None else begins_at_s, late_s=late_s)
        self.ends_at_s = at_s + self.load_time_s
        if self._start_at_s.ready():  # a second test in the same process, by Locust's web interface
            self._start_at_s = AsyncResult()
        self._start_at_s.set(at_s)

    def await_common_start(self) -> float | None:
        """Wait until it is known when all users of a fixed load begin, in whichever process they are; return when.

        None where each user begins when Locust makes it: without --loads, which is how Locust lets users come one after
        another, and without a master.
        """
        if self._worker is None or not self.loads:
            return None
        return self._start_at_s.get()

    def hurry(self) -> None:
        """Take note that Locust was told to quit, by a signal: the end waits for nothing then."""
        self._drain_limit_s = 0.0

    def drain(self) -> None:
        """Wait for the blocks of transactions on their way. Users have stopped by now."""
        self.open_loads.close()
        if "follower" in self.parts:
            self.follower.drain(self._drain_limit_s)
        if self.statistics:
            self.statistics.flush()  # Locust writes its statistics before it says that it quits

    def note_end(self) -> None:
        """Take note that users have stopped and nothing is on its way any more; measure the clock once more."""
        if self._worker:
            self._worker.measure()
            self.notes.offset = self._worker.offset
        if self.statistics:
            self.statistics.flush()
        if self.recorder:
            self.recorder.flush()
        self.notes.write_once(LoadStep.ENDED)

    def close(self) -> None:
        """Write what is left.

        After a signal Locust shuts down twice at once: in the signal's greenlet, and in the main one, which ends the
        process. So whoever comes second waits for the first.
        """
        with self._close_lock:
            if self._is_closed:
                return
            self._is_closed = True
            if "follower" in self.parts:
                self.follower.stop()
            if self.watch:
                self.watch.close()
            if self.statistics:
                self.statistics.close()
            if self.recorder:
                self.recorder.close()
            self.notes.write_once(LoadStep.ENDED)


_sessions: dict[int, Session] = {}


def session_of(environment: Environment) -> Session:
    """Return the session of a Locust environment. Raises RuntimeError before Locust is ready."""
    try:
        return _sessions[id(environment)]
    except KeyError:
        raise RuntimeError("the session begins with Locust's init event, which has not fired") from None


@events.init_command_line_parser.add_listener
def _on_parser(parser: Any, **_: Any) -> None:
    add_options(parser)


@events.init.add_listener
def _on_init(environment: Environment, runner: Any, **_: Any) -> None:
    """Begin the session; a bad Target file, bundle or load ends Locust with one sentence and exit code 2."""
    options = environment.parsed_options
    if options is None:
        return
    try:
        target = load_target(Path(options.target_file))
    except DocumentError as error:
        _refuse(str(error))
    layout = BundleLayout(root=Path(options.bundle)) if options.bundle else None
    if isinstance(runner, MasterRunner):
        _begin_master(environment, runner, Session(environment, target, None, Notes(layout, MASTER)), layout)
        return
    worker, place = None, _ALONE
    if isinstance(runner, WorkerRunner):
        worker = Worker(runner, options.worker_index)
        place = worker.meet(int(options.expect_workers or 1))
    notes = Notes(layout, worker.name if worker else "local")
    notes.core = pin(place, PinWish(options.pin))
    notes.offset = worker.offset if worker else None
    recorder = _recorder(layout, notes.name) if layout else None
    session = Session(environment, target, recorder, notes, place=place, worker=worker)
    if layout and recorder:
        environment.events.request.add_listener(recorder.on_request)  # plain Locust users fire it in any case
    if options.statistics == "batched":
        session.statistics = BatchedStatistics(environment, recorder)
    if layout:
        session.watch = GeneratorWatch(layout, notes.name, session.open_loads)
    _begin_session(environment, session, worker)


def _begin_session(environment: Environment, session: Session, worker: Worker | None) -> None:
    """Make the session known to users, and have it told what happens; return when users can begin."""
    _sessions[id(environment)] = session
    # Before anything that waits: a Locust master may start the test while a worker still gets ready.
    if worker is None:
        environment.events.test_start.add_listener(lambda **_: session.begin(time.time()))
        environment.events.spawning_complete.add_listener(lambda **_: session.open_loads.begin(time.time()))
    else:
        worker.listen(begin=partial(_begin_together, session), hurry=session.hurry, ended=session.note_end)
    # Fires after the test's end when its time is over, and before it when a signal ends Locust.
    environment.events.quitting.add_listener(lambda **_: session.hurry())
    environment.events.test_stop.add_listener(lambda **_: session.drain())
    if worker:
        environment.events.test_stop.add_listener(lambda **_: worker.report())
    environment.events.quit.add_listener(lambda **_: session.close())
    _fix_user_counts(environment, session)
    for user_class in environment.user_classes:
        if hasattr(user_class, "prepare"):
            user_class.prepare(session)
    settle()
    session.notes.write(LoadStep.READY)
    if worker is None:
        gevent.sleep(max(0.0, session.start_at_s - time.time()))
    else:
        worker.tell_ready()


def _begin_together(session: Session, at_s: float, master_at_s: float) -> None:
    """All users of all workers begin at one moment; every one of them is there by now."""
    session.begin(at_s, begins_at_s=master_at_s)
    session.open_loads.begin(at_s)


def _begin_master(
    environment: Environment, runner: MasterRunner, session: Session, layout: BundleLayout | None
) -> None:
    """Conduct the workers; return when they can begin and it is time to."""
    options = environment.parsed_options
    assert options is not None
    _sessions[id(environment)] = session
    # --load-time counts from the beginning that all share, Locust's --run-time from before there are users.
    end_after_s = math.inf if options.load_time is None else options.load_time + END_MARGIN_S
    master = Master(environment, runner, drain_limit_s=options.drain_limit, end_after_s=end_after_s)
    environment.events.quitting.add_listener(lambda **_: master.hurry())
    if layout:
        environment.events.quit.add_listener(lambda **_: master.write_counts(layout.worker_counts))
    environment.events.quit.add_listener(lambda **_: session.notes.write_once(LoadStep.ENDED))
    _fix_user_counts(environment, session)
    if session.loads:
        master.keep_users_where_they_are()
    session.notes.write(LoadStep.READY)
    if options.headless:
        master.await_workers()
        gevent.sleep(max(0.0, session.start_at_s - time.time()))


def _recorder(layout: BundleLayout, part: str) -> Recorder:
    try:
        layout.logs.mkdir(parents=True, exist_ok=True)
        return Recorder(layout, part)
    except OSError as error:
        _refuse(f"cannot record into {layout.root}: {error}")


def _fix_user_counts(environment: Environment, session: Session) -> None:
    """With --loads, each scenario has exactly its users; a class without a load gets none."""
    if not session.loads:
        return
    known = {getattr(cls, "scenario", "") for cls in environment.user_classes} - {""}
    if unknown := sorted(set(session.loads) - known):
        _refuse(f"--loads names {', '.join(unknown)}; expected some of {', '.join(sorted(known))}")
    chosen = [cls for cls in environment.user_classes if getattr(cls, "scenario", "") in session.loads]
    for user_class in chosen:
        user_class.fixed_count = session.loads[getattr(user_class, "scenario", "")].users
    environment.user_classes[:] = chosen


def _refuse(sentence: str) -> NoReturn:
    """End Locust. An ordinary exception would not: Locust logs what a listener raises."""
    print(sentence, flush=True)
    raise SystemExit(2) from None


def _load_time(load_time_s: float | None, run_time_s: float | None) -> float:
    """Return how long users act: as asked, else a little less than Locust runs, else without end."""
    if load_time_s is not None:
        return load_time_s
    return math.inf if run_time_s is None else max(run_time_s - END_MARGIN_S, run_time_s / 2)
