"""What processes that work together say when one of them ends, and how they notice; all in one process."""

import os
import pickle
import socket
import threading
import time
from itertools import chain, zip_longest

import pytest
import torch.distributed as dist

from fracturelib.cli import main
from fracturelib.errors import CatalogError, LostProcessError
from fracturelib.runtime import connections, processes
from fracturelib.runtime.processes import by_first, dealt, joined_processes, rank_and_size, spread

GONE = RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:538] Connection closed by peer [10.0.0.3]:2")
NO_FOLDER = CatalogError("no such folder", file="DIR", cure="check the path")


class Store(dict):
    """The store that torchrun keeps for all."""

    def set(self, name, value):
        self[name] = value.encode()

    def check(self, names):
        return all(name in self for name in names)

    def get(self, name):
        return self[name]


class Waiting(Store):
    """One that threads share."""

    def wait(self, names, timeout):
        end = time.monotonic() + timeout.total_seconds()
        while not self.check(names):
            assert time.monotonic() < end
            time.sleep(0.01)


class Broken:
    """A store whose machine is gone."""

    def check(self, names):
        raise dist.DistNetworkError("failed to recv")


@pytest.fixture
def told(monkeypatch):
    """A function (error, store, machine=…, local=…): what a process ends with."""
    monkeypatch.setattr(processes.time, "sleep", lambda seconds: None)

    def ends(error, store, *, machine=0, local=0):
        monkeypatch.setenv("GROUP_RANK", str(machine))
        monkeypatch.setenv("LOCAL_RANK", str(local))
        return processes._told_once(error, store)

    return ends


def test_an_error_is_told_where_it_arose_and_once_on_every_other_machine(told):
    store = Store()
    assert told(NO_FOLDER, store, machine=2, local=1) is NO_FOLDER
    other = told(GONE, store, machine=0)
    assert isinstance(other, LostProcessError)
    assert other.cause == f"on {socket.gethostname()}: no such folder" and "--resume" in other.cure
    for machine, local in ((2, 0), (0, 1)):  # told there already; and by the first of that machine
        silent = told(GONE, store, machine=machine, local=local)
        assert isinstance(silent, SystemExit) and silent.code == 2


@pytest.mark.parametrize("store", [Store(), Broken()])
@pytest.mark.parametrize("error", [GONE, dist.DistBackendError("NCCL"), dist.DistStoreError("timeout")])
def test_a_machine_that_is_gone_is_told_without_a_reason(told, store, error):
    found = told(error, store)
    assert isinstance(found, LostProcessError) and "cannot be reached" in found.cause


def test_a_second_attempt_does_not_meet_in_the_room_of_the_first():
    store = Waiting()

    def meet():
        names = {}
        enter = lambda number: names.update({number: processes._room(store, number, 3)})  # noqa: E731
        threads = [threading.Thread(target=enter, args=[number]) for number in (2, 1, 0)]
        for thread in threads:  # those who ask find what an earlier attempt left
            thread.start()
            time.sleep(0.02)
        for thread in threads:
            thread.join(20)
        assert len(names) == 3 and len(set(names.values())) == 1
        return names[0]

    assert meet() != meet()


def test_a_mistake_of_ours_stays_what_it_is(told):
    mistake = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert told(mistake, Store(), machine=1) is mistake


def test_an_interruption_is_told_once(told):
    stop = KeyboardInterrupt()
    assert told(stop, Store(), local=1).code == 130
    assert told(stop, store := Store()) is stop
    assert told(stop, store).code == 130  # torchrun stops what is left on the machine


def test_errors_travel_between_processes_whole():
    NO_FOLDER.add_note("  on machine:   three")
    arrived = pickle.loads(pickle.dumps(NO_FOLDER))
    assert str(arrived) == str(NO_FOLDER) and arrived.file == "DIR" and arrived.__notes__ == NO_FOLDER.__notes__


def test_one_process_alone_does_all_the_work():
    def twice(items):
        return [2 * item for item in items]

    with joined_processes():
        assert rank_and_size() == (0, 1)
        assert by_first(lambda: list(spread(twice, iter(range(5)), size=2))) == [0, 2, 4, 6, 8]
        assert list(dealt(twice, range(5), size=2)) == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("count", [0, 1, 9, 24, 100])
def test_parts_are_whole_batches_in_order(monkeypatch, count):
    """Each of three processes by itself, with the words of the others put into its ears."""
    said, parts = [], {}

    def one_process(rank):
        heard = iter(list(said))
        monkeypatch.setattr(processes, "rank_and_size", lambda: (rank, 3))
        monkeypatch.setattr(processes, "from_first", lambda own: said.append(own) or own if rank == 0 else next(heard))
        monkeypatch.setattr(processes, "collected", lambda own: [own])
        parts[rank] = []
        found = list(dealt(lambda items: parts[rank].append(items) or items, range(count) if rank == 0 else (), size=4))
        assert found == list(chain(*parts[rank]))

    for rank in range(3):
        one_process(rank)
    rounds = [list(filter(None, found)) for found in zip_longest(*parts.values())]
    whole = list(chain(*rounds))
    assert list(chain(*whole)) == list(range(count)) and all(len(part) % 4 == 0 for part in whole[:-1])


def test_connections_that_are_watched_ask_for_signs_of_life():
    before = connections.open_connections()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as one:
        found = connections.open_connections() - before
        assert found == {server.fileno(), one.fileno()}
        connections.watch([*found, 10**6])  # one that has been closed meanwhile
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15
        one.sendall(b"still open")
    assert connections.open_connections() == before


def test_the_users_network_wins_and_the_loopback_is_none(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "mine")
    connections.choose_interface("127.0.0.1", 29500)
    assert os.environ["GLOO_SOCKET_IFNAME"] == "mine"
    monkeypatch.delenv("GLOO_SOCKET_IFNAME")
    connections.choose_interface("127.0.0.1", 29500)
    assert "GLOO_SOCKET_IFNAME" not in os.environ


def test_what_is_not_shared_is_refused_by_several(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(SystemExit, match="0"):
        main(["weights", "--help"])
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert main(["weights"]) == 2
    assert "train, predict and audit are shared" in capsys.readouterr().err
