"""A port that is taken is named, with its holder and the setting that moves it, before anything starts."""

from __future__ import annotations

import os
import socket

import pytest

from workers.stack.ports import PortTaken, accepts_connections, free_ports, holder_of, is_free
from workers.stack.service import Port
from workers.stack.stack import check_ports


def test_a_taken_port_is_reported_with_holder_and_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        assert holder_of(port).endswith(f"(pid {os.getpid()})")
        expected = (
            rf"port {port} \(PostgreSQL\) is taken by .*\(pid {os.getpid()}\): set ATS_POSTGRES__PORT to a free one"
        )
        with pytest.raises(PortTaken, match=expected):
            check_ports([Port(port, "PostgreSQL", "ATS_POSTGRES__PORT")])
    assert is_free(port)
    check_ports([Port(port, "PostgreSQL", "ATS_POSTGRES__PORT")])


def test_every_taken_port_is_reported_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [Port(one.getsockname()[1], "the API", "A"), Port(two.getsockname()[1], "the web UI", "B")]
        with pytest.raises(PortTaken) as told:
            check_ports(ports)
    assert [line.split("(")[1].split(")")[0] for line in str(told.value).splitlines()] == ["the API", "the web UI"]


def test_a_port_just_closed_with_open_connections_counts_as_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # this side goes to TIME_WAIT
        client.close()
    assert is_free(port)
    assert not accepts_connections(port)


def test_free_ports_are_free_and_outside_the_range_of_outgoing_connections() -> None:
    ports = free_ports(7)
    assert len(set(ports)) == 7
    assert all(is_free(port) and port < 32_768 for port in ports)
